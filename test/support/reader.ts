import type { Frame } from "../../src/core/frame.ts";
import { ORIGIN, type Position } from "../../src/core/position.ts";
import { appliedDelta } from "./applied-delta.ts";
import type { Subscription } from "../../src/live/subscription.ts";

/**
 * A naive reader of a subscription: folds frames into a state and throws at the first frame that a
 * correct service cannot send (G2, G3).
 */
export class Reader {
  readonly state = new Map<string, string>();
  position: Position = ORIGIN;
  segments = 0;
  /** Changes that it received as deltas. */
  deltaCount = 0;
  readonly #revisions = new Map<string, number>();
  /** Whether events may arrive late, as from a feed that delays them. */
  lateEvents = false;
  readonly events: string[] = [];
  #inSync = false;
  #timestamp = 0;
  readonly #itemId: string | undefined;

  constructor(itemId?: string) {
    this.#itemId = itemId;
  }

  /** Adopts the state of another reader, to resume from its position. */
  continueFrom(other: Reader): void {
    for (const [itemId, text] of other.state) this.state.set(itemId, text);
    for (const [itemId, revision] of other.#revisions) this.#revisions.set(itemId, revision);
    this.position = other.position;
  }

  /** Takes up to `max` frames. @returns the number of frames taken. */
  drain(subscription: Subscription, max = Infinity): number {
    for (let taken = 0; taken < max; taken++) {
      const frame = subscription.read();
      if (frame === undefined) return taken;
      this.take(frame);
    }
    return max;
  }

  take(frame: Frame): void {
    if (this.#inSync && frame.kind !== "sync")
      throw new Error(`a ${frame.kind} between the parts of a sync`);
    switch (frame.kind) {
      case "sync":
        if (frame.first === this.#inSync)
          throw new Error("a sync that does not begin with its first part");
        if (frame.first) {
          this.state.clear();
          this.segments++;
          this.position = frame.position;
        }
        if (frame.position.revision !== this.position.revision)
          throw new Error("parts of different positions");
        for (const item of frame.items) {
          this.state.set(item.itemId, item.value.text);
          this.#revisions.set(item.itemId, item.revision);
        }
        this.#inSync = !frame.last;
        this.#timestamp = frame.timestamp;
        return;
      case "resumed":
        this.segments++;
        this.position = frame.position;
        return;
      case "change":
      case "delta": {
        const { epoch, revision } = frame.position;
        const follows =
          this.#itemId === undefined
            ? revision === this.position.revision + 1
            : revision > this.position.revision;
        const sameHistory = epoch === this.position.epoch || this.position.epoch === "";
        if (!follows || !sameHistory)
          throw new Error(`revision ${revision} after ${this.position.revision}`);
        if (frame.timestamp <= this.#timestamp) throw new Error("a timestamp that does not grow");
        const { itemId } = frame;
        if (frame.kind === "delta") {
          this.deltaCount++;
          this.state.set(itemId, appliedDelta(frame, this.state, this.#revisions));
        } else if ((frame.type === "create") === this.state.has(itemId))
          throw new Error(`a ${frame.type} of the wrong item`);
        else if (frame.type === "delete") this.state.delete(itemId);
        else this.state.set(itemId, frame.value.text);
        this.#revisions.set(itemId, revision);
        this.position = frame.position;
        this.#timestamp = frame.timestamp;
        return;
      }
      case "event":
        if (frame.after.epoch === this.position.epoch && this.#itemId === undefined) {
          if (frame.after.revision > this.position.revision)
            throw new Error("an event before the change it follows");
        }
        if (frame.timestamp <= this.#timestamp && !this.lateEvents)
          throw new Error("an event from before the snapshot");
        this.#timestamp = Math.max(this.#timestamp, frame.timestamp);
        this.events.push(frame.value.text);
        return;
      case "heartbeat":
        if (frame.position.revision < this.position.revision)
          throw new Error("a heartbeat that goes back");
        if (this.#itemId === undefined && frame.position.revision !== this.position.revision) {
          throw new Error("a heartbeat ahead of the changes");
        }
        this.position = frame.position;
    }
  }
}
