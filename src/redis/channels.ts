import { StreamError } from "../core/errors.ts";
import type { Unwatch } from "../core/store.ts";
import { unavailable } from "./redis-failure.ts";
import type { RedisLink } from "./redis-link.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** Hears a channel. */
export interface ChannelListener {
  readonly onMessage: (message: Buffer) => void;
  /** Messages may have been missed. */
  readonly onDoubt: () => void;
}

/** What channels work with. */
export interface ChannelsOptions {
  /** Longest time until a channel is heard, in milliseconds. */
  readonly timeoutMs: number;
  /** @see RedisServers.reach */
  readonly reach: (tag: string, deadlineMs: number) => Promise<RedisLink>;
  /** The server that has a tag, if it is known. */
  readonly linkOf: (tag: string) => RedisLink | undefined;
}

interface Channel {
  readonly tag: string;
  readonly listeners: Set<{ readonly listener: ChannelListener }>;
  link: RedisLink | undefined;
  /** Resolves when it is heard for the first time. */
  opened: Promise<void>;
}

/** The channels that this process hears, each at the server that has its tag. */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Map<string, Channel>();

  constructor(options: ChannelsOptions) {
    this.#options = options;
  }

  /** @see RedisServers.hear */
  async hear(tag: string, name: string, listener: ChannelListener): Promise<Unwatch> {
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

  /** Hands a message to those who hear its channel. */
  tell(name: string, message: Buffer): void {
    this.#each(name, ({ onMessage }) => onMessage(message));
  }

  /** Messages of these channels may have been missed. */
  doubt(names: readonly string[]): void {
    for (const name of names) this.#each(name, ({ onDoubt }) => onDoubt());
  }

  /** Hears channels elsewhere that have moved. */
  review(): void {
    for (const [name, channel] of this.#channels) void this.#move(name, channel);
  }

  /** Tells each listener. One that throws disturbs nobody else. */
  #each(name: string, tell: (listener: ChannelListener) => void): void {
    const listeners = this.#channels.get(name)?.listeners ?? new Set();
    for (const entry of Array.from(listeners)) {
      if (!listeners.has(entry)) continue;
      try {
        tell(entry.listener);
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
    // Whoever comes later tries afresh.
    channel.opened.catch(() => {
      if (this.#channels.get(name) === channel) this.#channels.delete(name);
    });
    return channel;
  }

  /** Hears a channel at the server that has it. */
  async #place(name: string, channel: Channel, deadlineMs: number): Promise<void> {
    const link = this.#options.linkOf(channel.tag);
    if (link === undefined) throw unavailable(undefined);
    channel.link = link;
    let timer: Timer | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const leftMs = Math.max(0, deadlineMs - performance.now());
      timer = startTimer(leftMs, () => reject(unavailable(undefined))).unref();
    });
    const heard = link.subscriber.add(name);
    try {
      await Promise.race([heard, late]);
    } catch (error) {
      // It comes to be heard one day: what was said until then is missing.
      heard.then(
        () => this.doubt([name]),
        () => {},
      );
      throw error;
    } finally {
      timer?.cancel();
    }
  }

  /** Hears a channel elsewhere when it has moved. */
  async #move(name: string, channel: Channel): Promise<void> {
    const before = channel.link;
    if (before === undefined || before === this.#options.linkOf(channel.tag)) return;
    before.subscriber.remove(name);
    try {
      await this.#place(name, channel, performance.now() + this.#options.timeoutMs);
    } catch {
      // Its server is not there yet: it is heard there as soon as it is.
    }
    if (this.#channels.get(name) === channel) this.#each(name, ({ onDoubt }) => onDoubt());
  }
}
