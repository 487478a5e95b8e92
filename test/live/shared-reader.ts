import type { LiveEvent, LoggedChange } from "../../src/core/change.ts";
import type { HeartbeatFrame, ResumedFrame, SyncFrame } from "../../src/core/frame.ts";
import { ORIGIN, type Position, samePosition } from "../../src/core/position.ts";
import type {
  Member,
  SharedFrame,
  SharedSubscription,
} from "../../src/live/shared-subscription.ts";

import { appliedDelta } from "../support/applied-delta.ts";

/** The state that a member builds from its frames. Throws at the first wrong frame (G2, G3). */
export class View implements Member {
  readonly itemId: string | undefined;
  readonly deltas: boolean;
  readonly window: number | undefined;
  readonly state = new Map<string, string>();
  /** Changes that it received as deltas. */
  deltaCount = 0;
  readonly #revisions = new Map<string, number>();
  position: Position = ORIGIN;
  /** Whether a segment is open: its snapshot is complete, or it was resumed. */
  isOpen = false;
  segments = 0;
  heartbeats = 0;
  readonly events: string[] = [];
  #timestamp = 0;
  #inSync = false;

  constructor(itemId?: string, deltas = false, window?: number) {
    this.itemId = itemId;
    this.deltas = deltas;
    this.window = window;
  }

  /** Copies the state and position of another view, to resume from there. */
  continueFrom(other: View): void {
    for (const [itemId, text] of other.state) this.state.set(itemId, text);
    for (const [itemId, revision] of other.#revisions) this.#revisions.set(itemId, revision);
    this.position = other.position;
  }

  follows(itemId: string | undefined): boolean {
    return this.itemId === undefined || this.itemId === itemId;
  }

  takeOwn(frame: SyncFrame | ResumedFrame | HeartbeatFrame): void {
    if (frame.kind === "sync") return this.#takeSync(frame);
    if (this.#inSync) throw new Error(`a ${frame.kind} between the parts of a sync`);
    if (frame.kind === "resumed") {
      if (!samePosition(frame.position, this.position))
        throw new Error("resumed from a position that was not given");
      this.segments++;
      this.isOpen = true;
      return;
    }
    const { epoch, revision } = frame.position;
    const { position } = this;
    const isSure =
      this.itemId === undefined ? revision === position.revision : revision >= position.revision;
    const sameHistory = epoch === position.epoch || position.epoch === "";
    if (!this.isOpen || !isSure || !sameHistory)
      throw new Error(`a heartbeat at ${revision} after ${position.revision}`);
    this.heartbeats++;
    this.position = frame.position;
  }

  takeShared(frame: LiveEvent): void {
    if (this.#inSync) throw new Error(`a ${frame.kind} between the parts of a sync`);
    if (!this.isOpen) return;
    if (frame.kind === "event") {
      // An event that is sent for other members may precede this one's snapshot.
      if (frame.timestamp > this.#timestamp) this.events.push(frame.value.text);
      return;
    }
    const { epoch, revision } = frame.position;
    const { position } = this;
    const isNext =
      this.itemId === undefined ? revision === position.revision + 1 : revision > position.revision;
    if (!isNext || (epoch !== position.epoch && position.epoch !== ""))
      throw new Error(`revision ${revision} after ${position.revision}`);
    if (frame.timestamp <= this.#timestamp) throw new Error("a timestamp that does not grow");
    const { itemId } = frame;
    this.position = frame.position;
    this.#timestamp = frame.timestamp;
    if (frame.kind === "delta" && !this.deltas)
      throw new Error("a delta for a member that wants whole values");
    // An item before the window.
    const isUnknown = this.window !== undefined && !this.state.has(itemId);
    if (isUnknown && (frame.kind === "delta" || frame.type !== "create")) return;
    if (frame.kind === "delta") {
      this.deltaCount++;
      this.state.set(itemId, appliedDelta(frame, this.state, this.#revisions));
    } else {
      if ((frame.type === "create") === this.state.has(itemId))
        throw new Error(`a ${frame.type} of the wrong item`);
      if (frame.type === "delete") this.state.delete(itemId);
      else this.state.set(itemId, frame.value.text);
    }
    this.#revisions.set(itemId, revision);
  }

  #takeSync(frame: SyncFrame): void {
    if (!frame.first && !this.#inSync) throw new Error("a part of a sync without the first");
    if (frame.first) {
      this.state.clear();
      this.position = frame.position;
    } else if (!samePosition(frame.position, this.position)) {
      throw new Error("parts of different positions");
    }
    for (const { itemId, value, revision } of frame.items) {
      if (!this.follows(itemId)) throw new Error("a sync with another item");
      if (this.state.has(itemId)) throw new Error("an item twice in a sync");
      this.state.set(itemId, value.text);
      this.#revisions.set(itemId, revision);
    }
    this.#timestamp = frame.timestamp;
    this.#inSync = !frame.last;
    if (frame.last) this.segments++;
    this.isOpen = frame.last;
  }
}

/**
 * Reads a shared subscription as a socket does, and passes each frame to its views. Over all views
 * no change comes twice or out of order, and no sync is older than the frames sent before it.
 */
export class SharedReader {
  readonly members = new Set<View>();
  readonly shared: SharedSubscription<View>;
  /** Frames read. */
  count = 0;
  #last: Position = ORIGIN;
  readonly #check: (view: View, frame: LoggedChange | SyncFrame) => void;

  /**
   * @param check Called with each change, and each last part of a sync, that a view took. Throws when
   *   the view is wrong.
   */
  constructor(
    shared: SharedSubscription<View>,
    check: (view: View, frame: LoggedChange | SyncFrame) => void = () => {},
  ) {
    this.shared = shared;
    this.#check = check;
  }

  /** Takes the available frames, at most `most`. Returns how many it took. */
  drain(most = Infinity): number {
    for (let taken = 0; taken < most; taken++) {
      const frame = this.shared.read();
      if (frame === undefined) return taken;
      this.#take(frame);
    }
    return most;
  }

  /** The next frame, waiting for it. */
  async next(): Promise<SharedFrame<View>> {
    for (;;) {
      const frame = this.shared.read();
      if (frame !== undefined) {
        this.#take(frame);
        return frame;
      }
      await new Promise<void>((resolve) => this.shared.onReadable({ wake: resolve }));
    }
  }

  #take({ to, frame }: SharedFrame<View>): void {
    this.count++;
    const position = "position" in frame ? frame.position : undefined;
    const isOlder = position?.epoch === this.#last.epoch && position.revision < this.#last.revision;
    if (to !== undefined) {
      if (!this.members.has(to)) throw new Error(`a ${frame.kind} to a member that left`);
      if (isOlder && frame.kind === "sync")
        throw new Error(`a sync at ${position.revision} after ${this.#last.revision} was sent`);
      // Only a first member resumes: the frames before it were for members that left.
      if (frame.kind === "resumed") this.#last = frame.position;
      to.takeOwn(frame);
      if (frame.kind === "sync" && frame.last) this.#check(to, frame);
      return;
    }
    if (frame.kind !== "event") {
      if (isOlder || (position !== undefined && samePosition(position, this.#last)))
        throw new Error(`revision ${position?.revision} after ${this.#last.revision}, over all`);
      this.#last = frame.position;
    }
    let isWanted = false;
    for (const view of this.members) {
      if (!view.follows(frame.itemId)) continue;
      isWanted ||= view.isOpen;
      view.takeShared(frame);
      if (view.isOpen && frame.kind !== "event") this.#check(view, frame);
    }
    if (!isWanted) throw new Error(`a ${frame.kind} that no member follows`);
  }
}
