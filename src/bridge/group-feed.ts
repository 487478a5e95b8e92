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
import { beginJoined } from "../wire/response/joined.ts";
import type { SnapshotHolder } from "../limits/snapshot-holder.ts";
import type { SendQueue } from "./send-queue.ts";
import { eventFrame, heartbeatFrame, itemsBytes, resumedFrame, syncFrame } from "./server-frame.ts";
import type { Target } from "./target.ts";

/** A subscription of a socket. */
export interface Join extends Target {
  readonly subscriptionId: string;
  /**
   * The extensions that its client requested: `resumed` frames, heartbeats, deltas, and snapshots in
   * parts, as items, or of a window.
   */
  readonly resumes: boolean;
  readonly heartbeat: boolean;
  readonly parts: boolean;
  readonly items: boolean;
  readonly window: number | undefined;
  readonly deltas: boolean;
  /** Whether the socket's URL requested it: an explicit join of the same target replaces it. */
  readonly byUrl: boolean;
  /** Whether its client has received a snapshot, or was resumed. */
  isServed: boolean;
  /** The admission that the gates granted. It must be released with leave() at the end. */
  readonly admission: Admission;
}

/** Parts of a snapshot that will be sent as one frame. */
interface Collected {
  readonly parts: SyncFrame[];
  readonly holder: SnapshotHolder;
  bytes: number;
}

/** How many bytes of events are joined into one write. */
const JOIN_BYTES = 64 * 1024;

/** Receives the ends of a feed and of its subscriptions. */
export interface FeedOwner {
  /** Called when the service ended the feed. */
  onEnd(group: GroupKey, error: StreamError): void;
  /** Called when a subscription ended because its snapshot cannot be sent. */
  onRefused(join: Join, error: StreamError): void;
}

/**
 * The frames of one group for a socket, for all its subscriptions together: one cursor, so each
 * event is sent once and in order. It sends as fast as the socket takes the frames.
 */
export class GroupFeed implements Reader {
  /** Number of subscriptions that use it, including those that are joining. */
  users = 0;
  readonly group: GroupKey;
  readonly #shared: SharedSubscription<Join>;
  readonly #sendQueue: SendQueue;
  readonly #maxSyncBytes: number;
  readonly #owner: FeedOwner;
  readonly #withAuthors: boolean;
  #collected: Map<Join, Collected> | undefined;
  #closed = false;

  /**
   * @param maxSyncBytes Largest snapshot that is sent as one frame, in bytes.
   * @param withAuthors Whether the socket gets the authors of events.
   */
  constructor(
    group: GroupKey,
    shared: SharedSubscription<Join>,
    sendQueue: SendQueue,
    maxSyncBytes: number,
    owner: FeedOwner,
    withAuthors: boolean,
  ) {
    this.#withAuthors = withAuthors;
    this.group = group;
    this.#shared = shared;
    this.#sendQueue = sendQueue;
    this.#maxSyncBytes = maxSyncBytes;
    this.#owner = owner;
    this.#shared.onEnd((error) => owner.onEnd(group, error));
    this.wake();
  }

  /** Everything up to here was sent, or can be; undefined before the first frame. */
  get position(): Position | undefined {
    return this.#shared.cursor;
  }

  /**
   * Resolves when the first frame of the subscription can be read, or was sent.
   *
   * @throws StreamError when it is refused.
   */
  join(join: Join, resumeFrom: Position | undefined): Promise<void> {
    return this.#shared.join(join, resumeFrom);
  }

  /** Ends a subscription. */
  leave(join: Join): void {
    this.#forget(join);
    this.#shared.leave(join);
  }

  #forget(join: Join): void {
    const collected = this.#collected?.get(join);
    for (const part of collected?.parts ?? []) collected?.holder.release(part);
    this.#collected?.delete(join);
    if (this.#collected?.size === 0) this.#collected = undefined;
  }

  /** Ends all subscriptions. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const join of [...(this.#collected?.keys() ?? [])]) this.#forget(join);
    this.#shared.close();
  }

  /**
   * Sends the available frames while the socket takes them. Consecutive events are sent in one
   * write.
   *
   * @see Reader
   */
  wake(): void {
    const sendQueue = this.#sendQueue;
    while (!this.#closed) {
      if (sendQueue.isFull) return sendQueue.whenFree(this);
      let events = beginJoined();
      let next: SharedFrame<Join> | undefined;
      do {
        next = this.#shared.read();
        if (next === undefined || next.to !== undefined) break;
        const frame = eventFrame(next.frame, this.#withAuthors, this.group);
        events = events.plus(next.frame.kind === "delta" ? sendQueue.formOf(frame) : frame);
      } while (events.byteLength < JOIN_BYTES);
      if (events.byteLength > 0) sendQueue.send(events.bytes);
      if (next === undefined) return this.#shared.onReadable(this);
      if (next.to !== undefined) this.#sendTo(next.to, next.frame);
    }
  }

  /** Sends a frame to one subscription. */
  #sendTo(to: Join, frame: SyncFrame | ResumedFrame | HeartbeatFrame): void {
    const sendQueue = this.#sendQueue;
    switch (frame.kind) {
      case "sync":
        if (!to.parts) return this.#collect(to, frame);
        to.isServed = true;
        sendQueue.sendSnapshot(syncFrame(to, frame, this.#withAuthors), this.#shared.memory);
        return;
      case "resumed":
        to.isServed = true;
        if (to.resumes)
          sendQueue.send(resumedFrame(to, to.subscriptionId, frame.position, frame.head));
        return;
      case "heartbeat":
        if (to.heartbeat) sendQueue.send(heartbeatFrame(to, to.subscriptionId, frame.position));
    }
  }

  /** Collects a snapshot for a client that takes it as one frame only. */
  #collect(join: Join, frame: SyncFrame): void {
    const maxSyncBytes = this.#maxSyncBytes;
    const { memory } = this.#shared;
    if (frame.first) this.#forget(join);
    const before = frame.first ? undefined : this.#collected?.get(join);
    const collected = before ?? {
      parts: [],
      holder: this.#sendQueue.holderIn(memory),
      bytes: 0,
    };
    this.#collected ??= new Map();
    this.#collected.set(join, collected);
    collected.parts.push(frame);
    collected.holder.hold(frame, frameBytes);
    collected.bytes += itemsBytes(frame.items);
    if (collected.bytes > maxSyncBytes) {
      const sentence = `The snapshot has more than ${maxSyncBytes} bytes; join with parts, or follow single items.`;
      this.leave(join);
      return this.#owner.onRefused(join, new StreamError("SNAPSHOT_TOO_LARGE", sentence));
    }
    // Its client has received nothing yet, so the join can still be refused.
    if (!join.isServed && !memory.makeRoom(collected.holder)) {
      this.leave(join);
      return this.#owner.onRefused(join, memory.refusal());
    }
    if (!frame.last) return;
    this.#forget(join);
    // A single part is shared with the other subscriptions that get it.
    const whole =
      collected.parts.length === 1
        ? frame
        : { ...frame, items: collected.parts.flatMap((part) => part.items) };
    join.isServed = true;
    this.#sendQueue.sendSnapshot(syncFrame(join, whole, this.#withAuthors), memory);
  }
}
