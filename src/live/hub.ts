import { StreamError } from "../core/errors.ts";
import { FewMap } from "../core/few-map.ts";
import { type GroupKey, groupKeyText } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import type { Head, Store } from "../core/store.ts";
import { SnapshotMemory } from "../limits/snapshot-memory.ts";
import { Channel } from "./channel.ts";
import type { SubscriberQueueLimits } from "./frame-queue.ts";
import type { Interest } from "./interest.ts";
import { DeliveryScheduler } from "./delivery-scheduler.ts";
import { SnapshotPartCache } from "./snapshot-part-cache.ts";
import { Subscription } from "./subscription.ts";

/** Dependencies, timeouts and limits of all subscriptions. */
export interface HubOptions {
  readonly store: Store;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** Longest silence before a heartbeat (G5). */
  readonly heartbeatIntervalMs: number;
  /** How long frames may wait for a reader before its subscription ends (G7). */
  readonly stallTimeoutMs: number;
  readonly queueLimits: SubscriberQueueLimits;
  /**
   * Memory of the snapshot parts that subscribers have not read. Default: one with the default
   * limit.
   */
  readonly memory?: SnapshotMemory | undefined;
  /**
   * Whether this process may deliver: not while it is cut off from its fleet, because the others
   * then take its subscriptions for ended (G11). Called for each event. Default: it may.
   */
  readonly mayDeliver?: (() => boolean) | undefined;
  /** Whether every change of a group goes through the store. Default: it does. */
  readonly sharesStates?: ((group: GroupKey) => boolean) | undefined;
}

/** What to follow. */
export interface FollowRequest {
  readonly group: GroupKey;
  readonly interest: Interest;
  readonly resumeFrom: Position | undefined;
  /**
   * Address of the subscriber, to which its unread snapshots count. While their memory is full, the
   * largest of them are ended. Absent: never, as for a subscriber in this process.
   */
  readonly address?: string | undefined;
}

interface Entry {
  readonly opened: Promise<Channel>;
  channel: Channel | undefined;
  readonly subscriptions: FewMap<Subscription, true>;
  /** Subscriptions that are open or opening. The channel closes with the last of them. */
  users: number;
  /** Start of the first of the reads of the head that failed; undefined while they succeed. */
  unconfirmedSinceMs: number | undefined;
}

const always = () => true;
/** How long unused snapshot parts are kept, in milliseconds, at least. */
const TIDY_MS = 1000;
/** How many groups one read of heads covers. */
const HEADS_PER_READ = 500;

/**
 * All live subscriptions of this process, by group. The first follower of a group starts its
 * channel, the last one stops it. The hub never calls the service.
 */
export class Hub {
  readonly #options: HubOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #scheduler = new DeliveryScheduler();
  readonly #partCache = new SnapshotPartCache();
  readonly #memory: SnapshotMemory;
  /** The snapshot parts that readers of a group share: one function for all groups. */
  readonly #sharing = (group: GroupKey): SnapshotPartCache | undefined => {
    const { sharesStates = always } = this.#options;
    return sharesStates(group) ? this.#partCache : undefined;
  };
  #tidiedAtMs = -Infinity;
  #refusal: StreamError | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#memory = options.memory ?? new SnapshotMemory();
  }

  /** Number of groups with a live feed. */
  get channelCount(): number {
    return this.#entries.size;
  }

  /**
   * Starts a subscription. Resolves when its first frame can be read.
   *
   * @throws StreamError SHUTTING_DOWN after close(), STORE_UNAVAILABLE when the store cannot be
   *   read, OVERLOADED when the memory of unread snapshots is full.
   */
  async follow(request: FollowRequest): Promise<Subscription> {
    if (this.#refusal !== undefined) throw this.#refusal;
    const key = groupKeyText(request.group);
    const entry = this.#entries.get(key) ?? this.#openEntry(key, request.group);
    entry.users++;
    let subscription: Subscription;
    try {
      subscription = await this.#subscribe(request, await entry.opened);
    } catch (error) {
      this.#release(key, entry);
      throw error;
    }
    if (this.#refusal !== undefined) subscription.fail(this.#refusal);
    entry.subscriptions.set(subscription, true);
    subscription.onEnd(() => {
      entry.subscriptions.delete(subscription);
      this.#release(key, entry);
    });
    return subscription;
  }

  /**
   * To be called a few times per heartbeat interval: reads the heads of the groups whose heartbeats
   * are due, sends these, and ends subscriptions that stalled or that the store could not confirm
   * for two intervals.
   */
  async tick(): Promise<void> {
    const now = this.#options.now();
    if (now - this.#tidiedAtMs >= TIDY_MS) {
      this.#tidiedAtMs = now;
      this.#partCache.tidy();
    }
    const due: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.channel !== undefined && this.#review(entry, now)) due.push(entry);
    }
    const reads: Promise<void>[] = [];
    for (let i = 0; i < due.length; i += HEADS_PER_READ)
      reads.push(this.#confirm(due.slice(i, i + HEADS_PER_READ)));
    await Promise.all(reads);
  }

  /** Ends every subscription with this error and refuses new ones. Idempotent. */
  close(error: StreamError): void {
    this.#refusal ??= error;
    this.endAll(error);
  }

  /** Ends every subscription with this error. */
  endAll(error: StreamError): void {
    for (const { subscriptions } of [...this.#entries.values()]) {
      for (const subscription of [...subscriptions.keys()]) subscription.fail(error);
    }
  }

  async #subscribe(
    { interest, resumeFrom, address }: FollowRequest,
    channel: Channel,
  ): Promise<Subscription> {
    const { store, now, queueLimits: limits } = this.#options;
    const memory = this.#memory;
    let ended: StreamError | undefined;
    let fail = (_error: StreamError) => {};
    const end = () => fail((ended = snapshotUnread()));
    const unread = address === undefined ? memory : memory.holderOf(address, end);
    const options = { store, channel, interest, resumeFrom, limits, unread, now };
    const subscription = await Subscription.open(options);
    if (ended !== undefined) subscription.fail(ended);
    fail = (error) => subscription.fail(error);
    return subscription;
  }

  #openEntry(key: string, group: GroupKey): Entry {
    const { store, mayDeliver = always } = this.#options;
    const opened = Channel.open(store, group, this.#scheduler, this.#sharing, mayDeliver);
    const entry: Entry = {
      opened,
      channel: undefined,
      subscriptions: new FewMap(),
      users: 0,
      unconfirmedSinceMs: undefined,
    };
    this.#entries.set(key, entry);
    opened.then(
      (channel) => {
        entry.channel = channel;
        if (entry.users === 0) channel.close();
      },
      () => {
        // Calls that wait for it get the error; a later call tries again.
        if (this.#entries.get(key) === entry) this.#entries.delete(key);
      },
    );
    return entry;
  }

  #release(key: string, entry: Entry): void {
    entry.users--;
    if (entry.users > 0) return;
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
    entry.channel?.close();
  }

  /** Ends stalled and unconfirmed subscriptions. Returns whether a heartbeat is due. */
  #review(entry: Entry, now: number): boolean {
    const { heartbeatIntervalMs, stallTimeoutMs } = this.#options;
    const unconfirmedMs =
      entry.unconfirmedSinceMs === undefined ? 0 : now - entry.unconfirmedSinceMs;
    let due = false;
    for (const subscription of entry.subscriptions.keys()) {
      const quietMs = subscription.quietMs(now);
      if (subscription.stalledMs(now) > stallTimeoutMs) {
        subscription.fail(
          new StreamError(
            "SLOW_SUBSCRIBER",
            `The subscriber read nothing for ${stallTimeoutMs} ms; resume when ready.`,
          ),
        );
      } else if (quietMs >= 2 * heartbeatIntervalMs && unconfirmedMs >= heartbeatIntervalMs) {
        subscription.fail(
          new StreamError(
            "STORE_UNAVAILABLE",
            "The store could not confirm the subscription; resume later.",
          ),
        );
      } else if (quietMs >= heartbeatIntervalMs) due = true;
    }
    return due;
  }

  async #confirm(entries: readonly Entry[]): Promise<void> {
    const { store, now, heartbeatIntervalMs } = this.#options;
    const startedMs = now();
    for (const entry of entries) entry.unconfirmedSinceMs ??= startedMs;
    const channels = entries.map((entry) => entry.channel as Channel);
    const asked = channels.map((channel) => channel.position);
    let heads: readonly Head[];
    try {
      heads = await store.heads(channels.map((channel) => channel.group));
    } catch {
      // One unreachable server must not block the other groups, so each is read on its own. The
      // next tick retries those that fail; unconfirmedSinceMs shows for how long.
      if (entries.length > 1) await Promise.all(entries.map((entry) => this.#confirm([entry])));
      return;
    }
    await Promise.all(
      entries.map(async (entry, i) => {
        const channel = channels[i] as Channel;
        try {
          await channel.confirm(heads[i] as Head, asked[i] as Position);
        } catch {
          return;
        }
        // A response that took longer than an interval is too old to prove anything.
        if (now() - startedMs >= heartbeatIntervalMs) return;
        entry.unconfirmedSinceMs = undefined;
        for (const subscription of entry.subscriptions.keys()) {
          if (subscription.quietMs(now()) >= heartbeatIntervalMs) subscription.heartbeat();
        }
      }),
    );
  }
}

function snapshotUnread(): StreamError {
  return new StreamError(
    "SLOW_SUBSCRIBER",
    "The snapshot was not read while the memory of unread snapshots was full; subscribe again, and read the frames as they come.",
  );
}
