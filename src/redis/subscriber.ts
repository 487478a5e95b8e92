import type { Redis } from "ioredis";
import { cut, keepConnecting } from "./client.ts";

/** Options of a subscriber. */
export interface SubscriberOptions {
  readonly client: Redis;
  /** Longest time that a reply may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly onMessage: (channel: string, message: Buffer) => void;
  /** These channels were resubscribed: messages on them may have been missed. */
  readonly onDoubt: (channels: readonly string[]) => void;
  /** The server no longer has channels that it had. */
  readonly onMoved: () => void;
}

interface Subscription {
  /** Calls that wait for the server to confirm it. */
  waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[];
  isActive: boolean;
  /** Whether it was active before: messages may have been missed since. */
  wasActive: boolean;
}

/** Silence after which a connection is pinged, in milliseconds. */
const PING_AFTER_MS = 1000;
/** Most channels per command. */
const PER_COMMAND = 200;
/** Pause before failed subscriptions are retried, in milliseconds. */
const RETRY_MS = 100;

/**
 * Subscribes to channels of one server (by sharded pub/sub, also without a cluster, so that all
 * forms work alike). It resubscribes after a lost connection, and reports that messages may have
 * been missed.
 */
export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #channels = new Map<string, Subscription>();
  #isClosed = false;
  #connection = 0;
  #lastSignMs = 0;
  #pingedMs: number | undefined;
  #connectingSinceMs: number | undefined;
  /** Channels to subscribe with the next command. */
  #added: string[] = [];
  #retry: NodeJS.Timeout | undefined;

  constructor(options: SubscriberOptions) {
    this.#options = options;
    const { client, onMessage } = options;
    client.on("connecting", () => (this.#connectingSinceMs ??= performance.now()));
    client.on("ready", () => void this.#resubscribe(++this.#connection));
    client.on("close", () => this.#goDown());
    client.on("smessageBuffer", (channel: Buffer, message: Buffer) => {
      this.#lastSignMs = performance.now();
      onMessage(channel.toString(), message);
    });
    client.on("moved", () => this.#lose());
    keepConnecting(client, () => this.#isClosed);
  }

  /** Whether all subscriptions are active. */
  get isActive(): boolean {
    for (const { isActive } of this.#channels.values()) if (!isActive) return false;
    return this.#options.client.status === "ready";
  }

  /**
   * Subscribes. Resolves once the server has confirmed it; rejects when the subscriber is closed.
   */
  add(channel: string): Promise<void> {
    const subscription = this.#channels.get(channel) ?? {
      waiting: [],
      isActive: false,
      wasActive: false,
    };
    const isNew = !this.#channels.has(channel);
    this.#channels.set(channel, subscription);
    if (subscription.isActive) return Promise.resolve();
    if (isNew) {
      if (this.#added.length === 0) setImmediate(() => void this.#subscribeAdded());
      this.#added.push(channel);
    }
    return new Promise((resolve, reject) => subscription.waiting.push({ resolve, reject }));
  }

  /** Unsubscribes from a channel. */
  remove(channel: string): void {
    const subscription = this.#channels.get(channel);
    if (subscription === undefined) return;
    this.#channels.delete(channel);
    for (const { reject } of subscription.waiting) reject(new Error("The channel was removed."));
    const { client } = this.#options;
    if (client.status === "ready") client.sunsubscribe(channel).catch(() => {});
  }

  /** Called regularly: drops a connection whose server does not reply. */
  review(nowMs: number): void {
    const { client, timeoutMs } = this.#options;
    const since = this.#pingedMs ?? this.#connectingSinceMs;
    if (since !== undefined && nowMs - since > timeoutMs) return this.#reconnect();
    if (client.status !== "ready" || this.#pingedMs !== undefined) return;
    if (nowMs - this.#lastSignMs <= PING_AFTER_MS) return;
    const connection = this.#connection;
    this.#pingedMs = nowMs;
    client.ping().then(
      () => this.#onPong(connection),
      () => {},
    );
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    cut(this.#options.client, false);
    for (const { waiting } of this.#channels.values())
      for (const { reject } of waiting) reject(new Error("The subscriber is closed."));
    this.#channels.clear();
  }

  #onPong(connection: number): void {
    if (connection !== this.#connection) return;
    this.#pingedMs = undefined;
    this.#lastSignMs = performance.now();
  }

  #reconnect(): void {
    if (!this.#isClosed) cut(this.#options.client, true);
  }

  #goDown(): void {
    this.#connection++;
    this.#pingedMs = undefined;
    this.#connectingSinceMs = undefined;
    for (const subscription of this.#channels.values()) subscription.isActive = false;
  }

  /** The server dropped channels without naming them: all are resubscribed. */
  #lose(): void {
    for (const subscription of this.#channels.values()) subscription.isActive = false;
    this.#options.onMoved();
    this.#retryLater(this.#connection);
  }

  async #subscribeAdded(): Promise<void> {
    const added = this.#added.filter((channel) => this.#channels.has(channel));
    this.#added = [];
    // Otherwise they are subscribed with all others once there is a connection.
    if (this.#options.client.status === "ready") await this.#subscribe(added, this.#connection);
  }

  /** Subscribes all channels that are not active. */
  async #resubscribe(connection: number): Promise<void> {
    this.#connectingSinceMs = undefined;
    this.#lastSignMs = performance.now();
    const inactive = Array.from(this.#channels).flatMap(([channel, { isActive }]) =>
      isActive ? [] : [channel],
    );
    await this.#subscribe(inactive, connection);
  }

  async #subscribe(channels: readonly string[], connection: number): Promise<void> {
    const commands = commandsFor(channels);
    await Promise.all(commands.map((some) => this.#subscribeSome(some, connection)));
    const isWhole = channels.every((channel) => this.#channels.get(channel)?.isActive !== false);
    // The connection is lost, or the channels have moved to another server: events report both.
    if (!isWhole) this.#retryLater(connection);
  }

  async #subscribeSome(channels: readonly string[], connection: number): Promise<void> {
    try {
      await this.#options.client.ssubscribe(...channels);
    } catch {
      return;
    }
    if (connection !== this.#connection) return;
    this.#lastSignMs = performance.now();
    const again: string[] = [];
    for (const channel of channels) {
      const subscription = this.#channels.get(channel);
      if (subscription === undefined) continue;
      subscription.isActive = true;
      if (subscription.wasActive) again.push(channel);
      subscription.wasActive = true;
      for (const { resolve } of subscription.waiting.splice(0)) resolve();
    }
    if (again.length > 0) this.#options.onDoubt(again);
  }

  #retryLater(connection: number): void {
    if (this.#retry !== undefined || connection !== this.#connection) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (connection === this.#connection && !this.#isClosed) void this.#resubscribe(connection);
    }, RETRY_MS);
    this.#retry.unref();
  }
}

/** Groups channels by command: a cluster accepts only those of one hash tag together. */
function commandsFor(channels: readonly string[]): readonly (readonly string[])[] {
  return Array.from(bySlot(channels)).flatMap((slot) =>
    Array.from({ length: Math.ceil(slot.length / PER_COMMAND) }, (_, i) =>
      slot.slice(i * PER_COMMAND, (i + 1) * PER_COMMAND),
    ),
  );
}

/** Groups channels by hash tag. */
function bySlot(channels: readonly string[]): Iterable<readonly string[]> {
  const slots = new Map<string, string[]>();
  for (const channel of channels) {
    const tag = channel.slice(0, channel.indexOf("}") + 1);
    const slot = slots.get(tag);
    if (slot === undefined) slots.set(tag, [channel]);
    else slot.push(channel);
  }
  return slots.values();
}
