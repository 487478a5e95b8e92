import { StreamError } from "../core/errors.ts";
import type { Unwatch } from "../core/watchers.ts";
import { unavailable } from "./redis-failure.ts";
import type { RedisLink } from "./redis-link.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** Receives the messages of a channel. */
export interface ChannelListener {
  readonly onMessage: (message: Buffer) => void;
  /** Messages may have been missed. */
  readonly onDoubt: () => void;
}

/** Dependencies of the channels. */
export interface ChannelsOptions {
  /** Longest time until a subscription is confirmed, in milliseconds. */
  readonly timeoutMs: number;
  /** @see RedisServers.reach */
  readonly reach: (tag: string, deadlineMs: number) => Promise<RedisLink>;
  /** The server of a tag, if it is known. */
  readonly linkOf: (tag: string) => RedisLink | undefined;
}

interface Channel {
  readonly tag: string;
  readonly listeners: Set<{ readonly listener: ChannelListener }>;
  link: RedisLink | undefined;
  /** Resolves when the first subscription is confirmed. */
  opened: Promise<void>;
}

/** The channels that this process is subscribed to, each on the server of its tag. */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Map<string, Channel>();

  constructor(options: ChannelsOptions) {
    this.#options = options;
  }

  /** @see RedisServers.subscribe */
  async subscribe(tag: string, name: string, listener: ChannelListener): Promise<Unwatch> {
    const channel = this.#channels.get(name) ?? this.#open(tag, name);
    const entry = { listener };
    channel.listeners.add(entry);
    const stop = () => {
      if (!channel.listeners.delete(entry) || channel.listeners.size > 0) return;
      if (this.#channels.get(name) !== channel) return;
      this.#channels.delete(name);
      channel.link?.subscriber.remove(name);
    };
    try {
      await channel.opened;
    } catch (error) {
      stop();
      throw error instanceof StreamError ? error : unavailable(error);
    }
    return stop;
  }

  /** Delivers a message to the listeners of its channel. */
  deliver(name: string, message: Buffer): void {
    this.#each(name, ({ onMessage }) => onMessage(message));
  }

  /** Messages of these channels may have been missed. */
  doubt(names: readonly string[]): void {
    for (const name of names) this.#each(name, ({ onDoubt }) => onDoubt());
  }

  /** Resubscribes channels that have moved to another server. */
  review(): void {
    for (const [name, channel] of this.#channels) void this.#move(name, channel);
  }

  /** Calls each listener. One that throws does not disturb the others. */
  #each(name: string, call: (listener: ChannelListener) => void): void {
    const listeners = this.#channels.get(name)?.listeners ?? new Set();
    for (const entry of Array.from(listeners)) {
      if (!listeners.has(entry)) continue;
      try {
        call(entry.listener);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #open(tag: string, name: string): Channel {
    const { timeoutMs, reach } = this.#options;
    const channel: Channel = {
      tag,
      listeners: new Set(),
      link: undefined,
      opened: Promise.resolve(),
    };
    this.#channels.set(name, channel);
    const deadlineMs = performance.now() + timeoutMs;
    channel.opened = reach(tag, deadlineMs).then(async () => {
      if (this.#channels.get(name) === channel) await this.#place(name, channel, deadlineMs);
    });
    // A later call tries again.
    channel.opened.catch(() => {
      if (this.#channels.get(name) === channel) this.#channels.delete(name);
    });
    return channel;
  }

  /** Subscribes a channel on the server of its tag. */
  async #place(name: string, channel: Channel, deadlineMs: number): Promise<void> {
    const link = this.#options.linkOf(channel.tag);
    if (link === undefined) throw unavailable(undefined);
    channel.link = link;
    let timer: Timer | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const leftMs = Math.max(0, deadlineMs - performance.now());
      timer = startTimer(leftMs, () => reject(unavailable(undefined))).unref();
    });
    const confirmed = link.subscriber.add(name);
    try {
      await Promise.race([confirmed, late]);
    } catch (error) {
      // The subscription may still be confirmed later; messages published before that are missed.
      confirmed.then(
        () => this.doubt([name]),
        () => {},
      );
      throw error;
    } finally {
      timer?.cancel();
    }
  }

  /** Resubscribes a channel that has moved to another server. */
  async #move(name: string, channel: Channel): Promise<void> {
    const before = channel.link;
    if (before === undefined || before === this.#options.linkOf(channel.tag)) return;
    before.subscriber.remove(name);
    try {
      await this.#place(name, channel, performance.now() + this.#options.timeoutMs);
    } catch {
      // The new server is down: its link subscribes as soon as it is up.
    }
    if (this.#channels.get(name) === channel) this.#each(name, ({ onDoubt }) => onDoubt());
  }
}
