import { type Json, type Position, type StreamDelta, type StreamFrame, applyOps } from "millrace";
import {
  type CallOptions,
  type DoorClient,
  DoorError,
  type Frames,
  type SubscribeRequest,
} from "./door.ts";

type FrameOf<Kind extends StreamFrame["kind"]> = Extract<StreamFrame, { kind: Kind }>;

/**
 * A strict subscriber. It folds frames into a state and throws at the first frame that no correct
 * service sends (G2, G3): parts of a sync that do not belong together, a revision that skips or
 * repeats, a timestamp that does not grow, a heartbeat ahead of the received changes, a delta of a
 * value that it does not have. Its frames have whole values: deltas are applied.
 */
export class Follower {
  /** Data by item, in creation order. */
  readonly state = new Map<string, Json>();
  /** The last certain position. */
  position: Position = { epoch: "", revision: 0 };
  /** Changes that came as deltas. */
  deltas = 0;
  /** Number of segments so far. */
  segments = 0;
  readonly #frames: Frames;
  readonly #itemId: string | undefined;
  readonly #hasWindow: boolean;
  /** The revision of each item, or the position of the sync that had it, on doors without details. */
  readonly #revisions = new Map<string, number>();
  /** Revision of the sync, on doors without the revisions of its items. */
  #bareSync: number | undefined;
  #inSync = false;
  #timestamp = 0;

  private constructor(frames: Frames, { itemId, window }: SubscribeRequest) {
    this.#frames = frames;
    this.#itemId = itemId;
    this.#hasWindow = window !== undefined;
  }

  /** Subscribes. */
  static async open(
    client: DoorClient,
    request: SubscribeRequest,
    options?: CallOptions,
  ): Promise<Follower> {
    return new Follower(await client.subscribe(request, options), request);
  }

  /** Subscribes anew, from the position and state of another follower. */
  static async resume(
    client: DoorClient,
    request: SubscribeRequest,
    from: Follower,
  ): Promise<Follower> {
    const resumed = await Follower.open(client, { ...request, resumeFrom: from.position });
    resumed.position = from.position;
    resumed.#timestamp = from.#timestamp;
    resumed.#bareSync = from.#bareSync;
    for (const [itemId, data] of from.state) resumed.state.set(itemId, data);
    for (const [itemId, at] of from.#revisions) resumed.#revisions.set(itemId, at);
    return resumed;
  }

  /** The next frame. @throws DoorError when the subscription ended. */
  async next(): Promise<StreamFrame> {
    const { done, value } = await this.#frames.next();
    if (done === true) throw new Error("the subscription ended without an error");
    const frame = this.#whole(value);
    this.#take(frame);
    return frame;
  }

  /** The next frame, which must be of that kind. */
  async expect<Kind extends StreamFrame["kind"]>(kind: Kind): Promise<FrameOf<Kind>> {
    const frame = await this.next();
    if (frame.kind !== kind) throw new Error(`a ${frame.kind} in place of a ${kind}`);
    return frame as FrameOf<Kind>;
  }

  /** The next frame that is no heartbeat, which must be of that kind. */
  async expectAfterHeartbeats<Kind extends StreamFrame["kind"]>(
    kind: Kind,
  ): Promise<FrameOf<Kind>> {
    for (;;) {
      const frame = await this.next();
      if (frame.kind === kind) return frame as FrameOf<Kind>;
      if (frame.kind !== "heartbeat") throw new Error(`a ${frame.kind} in place of a ${kind}`);
    }
  }

  /** Reads up to the last part of a sync. */
  async sync(): Promise<FrameOf<"sync">[]> {
    const parts: FrameOf<"sync">[] = [];
    do parts.push(await this.expect("sync"));
    while (parts.at(-1)?.last !== true);
    return parts;
  }

  /** Reads until its position has reached a revision. */
  async reach(revision: number): Promise<void> {
    while (this.#inSync || this.position.revision < revision) await this.next();
  }

  /** Reads to the end, which must be an error. */
  async error(): Promise<DoorError> {
    try {
      for (;;) await this.next();
    } catch (error) {
      if (error instanceof DoorError) return error;
      throw error;
    }
  }

  /** Cancels. */
  async close(): Promise<void> {
    await this.#frames.return();
  }

  /** The frame with the value that a delta stands for. */
  #whole(frame: StreamFrame | StreamDelta): StreamFrame {
    if (frame.kind !== "change" || frame.ops === undefined) return frame;
    const { ops, baseRevision, ...change } = frame;
    if (this.#isUnknown(change.type, change.itemId)) return { ...change, data: null };
    const before = this.state.get(change.itemId);
    const known = this.#revisions.get(change.itemId);
    const isOfSync = known !== undefined && known === this.#bareSync && baseRevision < known;
    if (before === undefined || (known !== baseRevision && !isOfSync))
      throw new Error(`a delta of revision ${baseRevision}; the item is at ${known}`);
    this.deltas++;
    return { ...change, data: applyOps(before, ops) };
  }

  /** Whether a change is one of an item before its window. */
  #isUnknown(type: string, itemId: string): boolean {
    return this.#hasWindow && type !== "create" && !this.state.has(itemId);
  }

  #take(frame: StreamFrame): void {
    if (this.#inSync && frame.kind !== "sync")
      throw new Error(`a ${frame.kind} between the parts of a sync`);
    if (this.segments === 0 && frame.kind !== "sync" && frame.kind !== "resumed")
      throw new Error(`a ${frame.kind} before any sync or resumed`);
    switch (frame.kind) {
      case "sync":
        return this.#takeSync(frame);
      case "resumed":
        this.segments++;
        this.position = frame.position;
        return;
      case "change":
        return this.#takeChange(frame);
      case "event":
        return this.#takeTimestamp(frame.timestamp);
      case "heartbeat":
        return this.#takeHeartbeat(frame);
    }
  }

  #takeSync(frame: FrameOf<"sync">): void {
    if (frame.first === this.#inSync)
      throw new Error("a sync that does not begin with its first part");
    if (frame.first) {
      this.segments++;
      this.state.clear();
      this.#revisions.clear();
      this.#bareSync = undefined;
      this.position = frame.position;
      this.#timestamp = frame.timestamp;
    } else if (
      frame.position.epoch !== this.position.epoch ||
      frame.position.revision !== this.position.revision
    ) {
      throw new Error("parts of a sync at different positions");
    }
    for (const item of frame.items) {
      if (this.state.has(item.itemId)) throw new Error("an item twice in a sync");
      this.state.set(item.itemId, item.data);
      if (item.revision === 0) this.#bareSync = frame.position.revision;
      this.#revisions.set(item.itemId, item.revision || frame.position.revision);
    }
    this.#inSync = !frame.last;
  }

  #takeChange({ type, itemId, data, position, timestamp }: FrameOf<"change">): void {
    const { epoch, revision } = this.position;
    const follows =
      this.#itemId === undefined
        ? position.revision === revision + 1
        : position.revision > revision;
    if (!follows || (epoch !== "" && position.epoch !== epoch))
      throw new Error(`revision ${position.revision} after ${revision}`);
    if (this.#itemId !== undefined && itemId !== this.#itemId)
      throw new Error("a change of another item");
    this.#takeTimestamp(timestamp);
    this.position = position;
    if (this.#isUnknown(type, itemId)) return;
    if (type === "delete") this.state.delete(itemId);
    else this.state.set(itemId, data);
    this.#revisions.set(itemId, position.revision);
  }

  #takeTimestamp(timestamp: number): void {
    if (timestamp <= this.#timestamp) throw new Error("a timestamp that does not grow");
    this.#timestamp = timestamp;
  }

  #takeHeartbeat({ position }: FrameOf<"heartbeat">): void {
    const { epoch, revision } = this.position;
    const same =
      this.#itemId === undefined ? position.revision === revision : position.revision >= revision;
    // Changes of other items may have written the group for the first time.
    const sameHistory = position.epoch === epoch || (this.#itemId !== undefined && epoch === "");
    if (!same || !sameHistory)
      throw new Error(`a heartbeat at ${position.revision} after ${revision}`);
    this.position = position;
  }
}
