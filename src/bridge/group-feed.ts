import { StreamError } from "../core/errors.ts";
import {
  type HeartbeatFrame,
  type ResumedFrame,
  type SyncFrame,
  frameBytes,
} from "../core/frame.ts";
import type { GroupKey } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import type { Admission, Reader, SharedFrame, SharedSubscription } from "../service/handlers.ts";
import { beginJoined } from "../fanout/joined.ts";
import type { Outlet } from "./outlet.ts";
import { eventFrame, heartbeatFrame, itemsBytes, resumedFrame, syncFrame } from "./server-frame.ts";
import type { Target } from "./target.ts";

/** A subscription of a socket. */
export interface Join extends Target {
  readonly subscriptionId: string;
  /** What its client asked to hear besides the dialect of all. */
  readonly resumes: boolean;
  readonly heartbeat: boolean;
  readonly parts: boolean;
  /** Whether the socket's URL asked for it: an explicit join of the same target takes it over. */
  readonly byUrl: boolean;
  /** Whether its client has had a snapshot, or was resumed. */
  isServed: boolean;
  /** Every gate allowed it. Whoever ends it has to leave. */
  readonly admission: Admission;
}

/** Parts of a snapshot that will be sent as one frame. */
interface Collected {
  readonly parts: SyncFrame[];
  bytes: number;
}

/** How much is joined into one write, in bytes. */
const JOIN_BYTES = 64 * 1024;

/** Whose feed it is. */
export interface FeedOwner {
  /** The service ended it. */
  onEnd(group: GroupKey, error: StreamError): void;
  /** A subscription ended because its snapshot cannot be sent. */
  onRefused(join: Join, error: StreamError): void;
}

/**
 * What a socket hears of one group, for all of its subscriptions together: one cursor, so that each
 * event goes out once and in order. It sends as the socket takes it.
 */
export class GroupFeed implements Reader {
  /** Subscriptions that use it, those included that are about to. */
  users = 0;
  readonly group: GroupKey;
  readonly #shared: SharedSubscription<Join>;
  readonly #outlet: Outlet;
  readonly #maxSyncBytes: number;
  readonly #owner: FeedOwner;
  #collected: Map<Join, Collected> | undefined;
  #closed = false;

  /** @param maxSyncBytes Largest snapshot that is sent as one frame, in bytes. */
  constructor(
    group: GroupKey,
    shared: SharedSubscription<Join>,
    outlet: Outlet,
    maxSyncBytes: number,
    owner: FeedOwner,
  ) {
    this.group = group;
    this.#shared = shared;
    this.#outlet = outlet;
    this.#maxSyncBytes = maxSyncBytes;
    this.#owner = owner;
    this.#shared.onEnd((error) => owner.onEnd(group, error));
    this.wake();
  }

  /** Resolves when the first frame of the subscription is there, or was sent. @throws StreamError when it is refused. */
  join(join: Join, resumeFrom: Position | undefined): Promise<void> {
    return this.#shared.join(join, resumeFrom);
  }

  /** Ends a subscription. */
  leave(join: Join): void {
    this.#forget(join);
    this.#shared.leave(join);
  }

  #forget(join: Join): void {
    for (const part of this.#collected?.get(join)?.parts ?? []) this.#shared.memory.release(part);
    this.#collected?.delete(join);
    if (this.#collected?.size === 0) this.#collected = undefined;
  }

  /** Ends all. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const join of [...(this.#collected?.keys() ?? [])]) this.#forget(join);
    this.#shared.close();
  }

  /**
   * Sends what there is, as far as the socket takes it: events that follow one another go out as one.
   *
   * @see Reader
   */
  wake(): void {
    const outlet = this.#outlet;
    while (!this.#closed) {
      if (outlet.isFull) return outlet.whenFree(this);
      let events = beginJoined();
      let next: SharedFrame<Join> | undefined;
      do {
        next = this.#shared.read();
        if (next === undefined || next.to !== undefined) break;
        events = events.plus(eventFrame(next.frame, this.group));
      } while (events.byteLength < JOIN_BYTES);
      if (events.byteLength > 0) outlet.send(events.bytes);
      if (next === undefined) return this.#shared.onReadable(this);
      if (next.to !== undefined) this.#tell(next.to, next.frame);
    }
  }

  /** Tells one subscription. */
  #tell(to: Join, frame: SyncFrame | ResumedFrame | HeartbeatFrame): void {
    const outlet = this.#outlet;
    switch (frame.kind) {
      case "sync":
        if (!to.parts) return this.#collect(to, frame);
        to.isServed = true;
        outlet.sendSnapshot(syncFrame(to, to.subscriptionId, frame, true), this.#shared.memory);
        return;
      case "resumed":
        to.isServed = true;
        if (to.resumes)
          outlet.send(resumedFrame(to, to.subscriptionId, frame.position, frame.head));
        return;
      case "heartbeat":
        if (to.heartbeat) outlet.send(heartbeatFrame(to, to.subscriptionId, frame.position));
    }
  }

  /** For a client that takes a snapshot as one frame only. */
  #collect(join: Join, frame: SyncFrame): void {
    const maxSyncBytes = this.#maxSyncBytes;
    const { memory } = this.#shared;
    if (frame.first) this.#forget(join);
    const before = frame.first ? undefined : this.#collected?.get(join);
    const collected = before ?? { parts: [], bytes: 0 };
    this.#collected ??= new Map();
    this.#collected.set(join, collected);
    collected.parts.push(frame);
    memory.hold(frame, frameBytes);
    collected.bytes += itemsBytes(frame.items);
    if (collected.bytes > maxSyncBytes) {
      const sentence = `The snapshot has more than ${maxSyncBytes} bytes; join with parts, or follow single items.`;
      this.leave(join);
      return this.#owner.onRefused(join, new StreamError("SNAPSHOT_TOO_LARGE", sentence));
    }
    // Its client has had nothing yet: it is as good as new.
    if (!join.isServed && memory.isFull) {
      this.leave(join);
      return this.#owner.onRefused(join, memory.refusal());
    }
    if (!frame.last) return;
    this.#forget(join);
    // One part is shared with others who get it.
    const whole =
      collected.parts.length === 1
        ? frame
        : { ...frame, items: collected.parts.flatMap((part) => part.items) };
    join.isServed = true;
    this.#outlet.sendSnapshot(syncFrame(join, join.subscriptionId, whole, false), memory);
  }
}
