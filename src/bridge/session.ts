import { StreamError } from "../core/errors.ts";
import { type SyncFrame, frameBytes } from "../core/frame.ts";
import { type GroupKey, checkName, groupKeyText } from "../core/names.ts";
import type { Handlers, SharedFrame, SharedSubscription } from "../service/handlers.ts";
import { type JoinFrame, readClientFrame } from "./client-frame.ts";
import { CLOSE, closeCodeOf } from "./close-codes.ts";
import type { BridgeLimits } from "./limits.ts";
import { errorFrame, eventFrame, heartbeatFrame, resumedFrame, syncFrame } from "./server-frame.ts";
import type { Target } from "./target.ts";

/** The socket as a session sees it. */
export interface SessionSocket {
  /** Bytes that were sent but not yet taken by the system. */
  readonly bufferedBytes: number;
  /** Sends a text frame. `taken` is called when the system has taken it. */
  send(text: string, taken: () => void): void;
  close(code: number, reason: string): void;
}

/** A subscription of a socket. */
interface Join extends Target {
  readonly subscriptionId: string;
  readonly resumes: boolean;
  readonly heartbeat: boolean;
  readonly parts: boolean;
  /** Whether the URL asked for it: an explicit join of the same target takes it over. */
  readonly byUrl: boolean;
  readonly group: GroupFeed;
  /** Parts of a snapshot that will be sent as one frame. */
  collected: SyncFrame[];
  collectedBytes: number;
}

/** What a socket hears of one group, for all of its subscriptions together. */
interface GroupFeed extends GroupKey {
  readonly shared: SharedSubscription<Join>;
  /** Subscriptions that use it, those included that are about to. */
  users: number;
}

/** How much may lie in a socket before its subscriptions have to wait, in bytes. */
const HIGH_WATER_BYTES = 64 * 1024;

/**
 * One socket: its subscriptions, and what they have to say to each other.
 *
 * All subscriptions of one group share one cursor, so that each event goes out once and in order. What
 * the socket cannot take stays in the bounded queues of the subscriptions (G7).
 */
export class BridgeSession {
  readonly #handlers: Handlers;
  readonly #socket: SessionSocket;
  readonly #limits: BridgeLimits;
  readonly #joins = new Map<string, Join>();
  readonly #groups = new Map<string, GroupFeed>();
  /** Joins of one subscription id wait for one another. */
  readonly #joining = new Map<string, Promise<void>>();
  #malformed = 0;
  #closed = false;

  constructor(handlers: Handlers, socket: SessionSocket, limits: BridgeLimits) {
    this.#handlers = handlers;
    this.#socket = socket;
    this.#limits = limits;
  }

  /** Subscribes to what the socket's URL names. */
  joinByUrl(target: Target, subscriptionId: string): void {
    this.#enqueueJoin(
      {
        ...target,
        type: "join",
        subscriptionId,
        resume: undefined,
        heartbeat: false,
        parts: false,
      },
      true,
    );
  }

  /** Takes a frame of the client; undefined when it was not text. */
  receive(text: string | undefined): void {
    if (this.#closed) return;
    let frame;
    try {
      frame = readClientFrame(text ?? "");
    } catch (error) {
      this.#refuseFrame(StreamError.from(error));
      return;
    }
    if (frame.type === "join") this.#enqueueJoin(frame, false);
    else this.#enqueueLeave(frame.subscriptionId);
  }

  /** Ends all subscriptions. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { shared } of this.#groups.values()) shared.close();
    this.#groups.clear();
    this.#joins.clear();
  }

  #refuseFrame(error: StreamError): void {
    this.#send(errorFrame(error, undefined, undefined));
    this.#malformed++;
    if (this.#malformed >= this.#limits.maxMalformedFrames)
      this.#end(CLOSE.MALFORMED, "too many malformed frames");
  }

  /** What concerns one subscription id happens in the order asked. */
  #enqueue(subscriptionId: string, work: () => Promise<void> | void): void {
    const before = this.#joining.get(subscriptionId) ?? Promise.resolve();
    const done = before.then(work).finally(() => {
      if (this.#joining.get(subscriptionId) === done) this.#joining.delete(subscriptionId);
    });
    this.#joining.set(subscriptionId, done);
  }

  #enqueueLeave(subscriptionId: string): void {
    this.#enqueue(subscriptionId, () => this.#leave(subscriptionId));
  }

  #enqueueJoin(frame: JoinFrame, byUrl: boolean): void {
    const known = this.#joins.has(frame.subscriptionId) || this.#joining.has(frame.subscriptionId);
    if (!known && this.#joins.size + this.#joining.size >= this.#limits.maxSubscriptions) {
      this.#end(CLOSE.TOO_MUCH, "too many subscriptions");
      return;
    }
    this.#enqueue(frame.subscriptionId, () => this.#join(frame, byUrl));
  }

  async #join(frame: JoinFrame, byUrl: boolean): Promise<void> {
    if (this.#closed) return;
    const { subscriptionId, streamName, groupId, itemId, resume, heartbeat, parts } = frame;
    const target: Target = { streamName, groupId, itemId };
    let group: GroupFeed | undefined;
    try {
      if (itemId !== undefined) checkName("id", itemId);
      group = this.#useGroup(target);
      const join: Join = {
        ...target,
        subscriptionId,
        resumes: resume !== undefined,
        heartbeat,
        parts,
        byUrl,
        group,
        collected: [],
        collectedBytes: 0,
      };
      const maxStateBytes = parts ? undefined : this.#limits.maxSyncBytes;
      await group.shared.join(join, { resumeFrom: resume, maxStateBytes });
      // The one that it replaces stays until here, because a refusal would have left it in place.
      this.#leave(subscriptionId);
      this.#joins.set(subscriptionId, join);
      if (!byUrl) this.#takeOverUrl(join);
      this.#pump(group);
    } catch (error) {
      if (group !== undefined) this.#releaseGroup(group);
      this.#send(errorFrame(StreamError.from(error), target, subscriptionId));
    }
  }

  /** An explicit join of what the URL asked for takes its place. */
  #takeOverUrl({ group, itemId }: Join): void {
    for (const join of this.#joins.values()) {
      if (join.byUrl && join.group === group && join.itemId === itemId)
        this.#leave(join.subscriptionId);
    }
  }

  #leave(subscriptionId: string): void {
    const join = this.#joins.get(subscriptionId);
    if (join === undefined) return;
    this.#joins.delete(subscriptionId);
    join.group.shared.leave(join);
    this.#releaseGroup(join.group);
  }

  #useGroup({ streamName, groupId }: Target): GroupFeed {
    const key = groupKeyText({ streamName, groupId });
    let group = this.#groups.get(key);
    if (group === undefined) {
      const shared = this.#handlers.share<Join>({ streamName, groupId });
      group = { streamName, groupId, shared, users: 0 };
      shared.onEnd(() => this.#endBy(shared.error));
      this.#groups.set(key, group);
    }
    group.users++;
    return group;
  }

  #releaseGroup(group: GroupFeed): void {
    group.users--;
    if (group.users > 0) return;
    group.shared.close();
    this.#groups.delete(groupKeyText(group));
  }

  /** Sends what the group has to say, as far as the socket takes it. */
  #pump(group: GroupFeed): void {
    while (!this.#closed && group.users > 0) {
      if (this.#socket.bufferedBytes > HIGH_WATER_BYTES) return; // Goes on when the socket has taken some.
      const next = group.shared.read();
      if (next === undefined) return group.shared.onReadable(() => this.#pump(group));
      this.#deliver(group, next);
    }
  }

  #pumpAll(): void {
    for (const group of this.#groups.values()) this.#pump(group);
  }

  #deliver(group: GroupFeed, { to, frame }: SharedFrame<Join>): void {
    switch (frame.kind) {
      case "change":
      case "event":
        return this.#send(eventFrame(group, frame));
      case "sync":
        if (to !== undefined) this.#deliverSync(to, frame);
        return;
      case "resumed":
        if (to?.resumes === true)
          this.#send(resumedFrame(to, to.subscriptionId, frame.position, frame.head));
        return;
      case "heartbeat":
        if (to?.heartbeat === true)
          this.#send(heartbeatFrame(to, to.subscriptionId, frame.position));
    }
  }

  #deliverSync(join: Join, frame: SyncFrame): void {
    const { position, timestamp, items, first, last } = frame;
    if (join.parts) {
      this.#send(
        syncFrame(join, join.subscriptionId, { position, timestamp, items, part: { first, last } }),
      );
      return;
    }
    if (first) {
      join.collected = [];
      join.collectedBytes = 0;
    }
    join.collected.push(frame);
    join.collectedBytes += frameBytes(frame);
    if (join.collectedBytes > this.#limits.maxSyncBytes) {
      const error = new StreamError(
        "SNAPSHOT_TOO_LARGE",
        `The snapshot has more than ${this.#limits.maxSyncBytes} bytes; join with parts, or follow single items.`,
      );
      this.#send(errorFrame(error, join, join.subscriptionId));
      this.#leave(join.subscriptionId);
      return;
    }
    if (!last) return;
    const all = join.collected.flatMap((part) => part.items);
    join.collected = [];
    this.#send(
      syncFrame(join, join.subscriptionId, { position, timestamp, items: all, part: undefined }),
    );
  }

  #send(text: string): void {
    if (this.#closed) return;
    const full = this.#socket.bufferedBytes > HIGH_WATER_BYTES;
    this.#socket.send(text, () => {
      if (!full && this.#socket.bufferedBytes <= HIGH_WATER_BYTES) this.#pumpAll();
    });
  }

  #endBy(error: StreamError | undefined): void {
    if (error !== undefined) this.#end(closeCodeOf(error), error.reason);
  }

  #end(code: number, reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#socket.close(code, reason);
  }
}
