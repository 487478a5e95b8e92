import type { Redis } from "ioredis";
import { cut, keepConnecting } from "./client.ts";

/** How a subscriber is made. */
export interface SubscriberOptions {
  readonly client: Redis;
  /** Longest time that a reply may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly onMessage: (channel: string, message: Buffer) => void;
  /** These channels are heard again: messages on them may have been missed. */
  readonly onDoubt: (channels: readonly string[]) => void;
  /** The server has given away channels that it had. */
  readonly onMoved: () => void;
}

interface Heard {
  /** Who waits for the server to confirm it. */
  waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[];
  isActive: boolean;
  /** Whether it was heard before: then something may have been missed. */
  wasActive: boolean;
}

/** A connection that was silent for so long is asked for a sign of life, in milliseconds. */
const PING_AFTER_MS = 1000;
/** How many channels one command names. */
const PER_COMMAND = 200;
/** Pause before channels are asked for again, in milliseconds. */
const RETRY_MS = 100;

/**
 * Hears channels of one server (sharded pub/sub: also where there is no cluster, for one way in all
 * forms). After a lost connection it hears them again, and says that something may have been missed.
 */
export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #channels = new Map<string, Heard>();
  #isClosed = false;
  #connection = 0;
  #lastSignMs = 0;
  #askedMs: number | undefined;
  #connectingSinceMs: number | undefined;
  /** Channels to be heard with the next command. */
  #added: string[] = [];
  #retry: NodeJS.Timeout | undefined;

  constructor(options: SubscriberOptions) {
    this.#options = options;
    const { client, onMessage } = options;
    client.on("connecting", () => (this.#connectingSinceMs ??= performance.now()));
    client.on("ready", () => void this.#hearAgain(++this.#connection));
    client.on("close", () => this.#goDown());
    client.on("smessageBuffer", (channel: Buffer, message: Buffer) => {
      this.#lastSignMs = performance.now();
      onMessage(channel.toString(), message);
    });
    client.on("moved", () => this.#lose());
    keepConnecting(client, () => this.#isClosed);
  }

  /** Whether all channels are heard. */
  get isActive(): boolean {
    for (const { isActive } of this.#channels.values()) if (!isActive) return false;
    return this.#options.client.status === "ready";
  }

  /** Hears a channel. Resolves once the server confirmed it; rejects when the subscriber is closed. */
  add(channel: string): Promise<void> {
    const heard = this.#channels.get(channel) ?? {
      waiting: [],
      isActive: false,
      wasActive: false,
    };
    const isNew = !this.#channels.has(channel);
    this.#channels.set(channel, heard);
    if (heard.isActive) return Promise.resolve();
    if (isNew) {
      if (this.#added.length === 0) setImmediate(() => void this.#hearAdded());
      this.#added.push(channel);
    }
    return new Promise((resolve, reject) => heard.waiting.push({ resolve, reject }));
  }

  /** Hears a channel no longer. */
  remove(channel: string): void {
    const heard = this.#channels.get(channel);
    if (heard === undefined) return;
    this.#channels.delete(channel);
    for (const { reject } of heard.waiting) reject(new Error("The channel is given up."));
    const { client } = this.#options;
    if (client.status === "ready") client.sunsubscribe(channel).catch(() => {});
  }

  /** To be called regularly: gives up a connection whose server does not answer. */
  review(nowMs: number): void {
    const { client, timeoutMs } = this.#options;
    const since = this.#askedMs ?? this.#connectingSinceMs;
    if (since !== undefined && nowMs - since > timeoutMs) return this.#reconnect();
    if (client.status !== "ready" || this.#askedMs !== undefined) return;
    if (nowMs - this.#lastSignMs <= PING_AFTER_MS) return;
    const connection = this.#connection;
    this.#askedMs = nowMs;
    client.ping().then(
      () => this.#answered(connection),
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

  #answered(connection: number): void {
    if (connection !== this.#connection) return;
    this.#askedMs = undefined;
    this.#lastSignMs = performance.now();
  }

  #reconnect(): void {
    if (!this.#isClosed) cut(this.#options.client, true);
  }

  #goDown(): void {
    this.#connection++;
    this.#askedMs = undefined;
    this.#connectingSinceMs = undefined;
    for (const heard of this.#channels.values()) heard.isActive = false;
  }

  /** Channels were taken away, and nobody says which: all are asked for again. */
  #lose(): void {
    for (const heard of this.#channels.values()) heard.isActive = false;
    this.#options.onMoved();
    this.#hearLater(this.#connection);
  }

  async #hearAdded(): Promise<void> {
    const added = this.#added.filter((channel) => this.#channels.has(channel));
    this.#added = [];
    // Otherwise they are heard with all others when there is a connection.
    if (this.#options.client.status === "ready") await this.#hear(added, this.#connection);
  }

  /** Hears what is not heard. */
  async #hearAgain(connection: number): Promise<void> {
    this.#connectingSinceMs = undefined;
    this.#lastSignMs = performance.now();
    const silent = Array.from(this.#channels).flatMap(([channel, { isActive }]) =>
      isActive ? [] : [channel],
    );
    await this.#hear(silent, connection);
  }

  async #hear(channels: readonly string[], connection: number): Promise<void> {
    const commands = commandsFor(channels);
    await Promise.all(commands.map((some) => this.#hearSome(some, connection)));
    const isWhole = channels.every((channel) => this.#channels.get(channel)?.isActive !== false);
    // The connection is lost, or the channels belong to another server: both come to be known.
    if (!isWhole) this.#hearLater(connection);
  }

  async #hearSome(channels: readonly string[], connection: number): Promise<void> {
    try {
      await this.#options.client.ssubscribe(...channels);
    } catch {
      return;
    }
    if (connection !== this.#connection) return;
    this.#lastSignMs = performance.now();
    const again: string[] = [];
    for (const channel of channels) {
      const heard = this.#channels.get(channel);
      if (heard === undefined) continue;
      heard.isActive = true;
      if (heard.wasActive) again.push(channel);
      heard.wasActive = true;
      for (const { resolve } of heard.waiting.splice(0)) resolve();
    }
    if (again.length > 0) this.#options.onDoubt(again);
  }

  #hearLater(connection: number): void {
    if (this.#retry !== undefined || connection !== this.#connection) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (connection === this.#connection && !this.#isClosed) void this.#hearAgain(connection);
    }, RETRY_MS);
    this.#retry.unref();
  }
}

/** Channels for one command each: a cluster takes only those of one hash tag together. */
function commandsFor(channels: readonly string[]): readonly (readonly string[])[] {
  return Array.from(bySlot(channels)).flatMap((slot) =>
    Array.from({ length: Math.ceil(slot.length / PER_COMMAND) }, (_, i) =>
      slot.slice(i * PER_COMMAND, (i + 1) * PER_COMMAND),
    ),
  );
}

/** Channels whose hash tag is the same: a cluster takes only those in one command. */
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
