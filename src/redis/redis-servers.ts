import { randomUUID } from "node:crypto";
import { StreamError } from "../core/errors.ts";
import type { Unwatch } from "../core/watchers.ts";
import type { RedisCommand } from "./commands.ts";
import type { LuaScript } from "./lua-script.ts";
import { RedisFailure, streamErrorOf, unavailable } from "./redis-failure.ts";
import { type ChannelListener, Channels } from "./channels.ts";
import { askForSlots } from "./client.ts";
import { type CommandKind, RedisLink } from "./redis-link.ts";
import type { RedisAddress, RedisTarget } from "./redis-url.ts";
import type { ServerFacts } from "./server-facts.ts";
import { type SlotRange, addressText, readSlots, slotOf } from "./topology.ts";
import { startTimer } from "../timers/timers.ts";

/** Options of the connection to a Redis. */
export interface RedisServersOptions {
  readonly target: RedisTarget;
  /** Replicas that must have a write before it is acknowledged. Default 0. */
  readonly minReplicas?: number | undefined;
  /** Longest wait for a reply, or for a server to return, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number | undefined;
  /** Called with failures of connections, for the operator's log. */
  readonly onProblem?: ((error: unknown) => void) | undefined;
}

/** Called on each new connection, before anything else may use it. */
export type Greeter = (link: RedisLink, facts: ServerFacts) => Promise<void>;

const DEFAULT_TIMEOUT_MS = 5000;
/** Pause before a command that did nothing is retried, in milliseconds. */
const RETRY_MS = 25;
/** Interval at which the slot map of a cluster is refreshed, in milliseconds. */
const REFRESH_MS = 5000;
/** The same while the map is wrong or a server is down. */
const HURRY_MS = 200;

/**
 * The servers of one Redis, whatever its form: a caller names a hash tag, and reaches the server
 * that has its keys.
 *
 * For a cluster, this keeps its own slot map instead of the driver's: a commit must know the exact
 * server process that it goes to (see the epoch rule), and must never be sent twice.
 */
export class RedisServers {
  /** Unique id of this process among the clients. */
  readonly instanceId = randomUUID();
  readonly timeoutMs: number;
  readonly #options: RedisServersOptions;
  readonly #links = new Map<string, RedisLink>();
  readonly #slots = new Map<string, number>();
  readonly #channels: Channels;
  readonly #greeters: Greeter[] = [];
  readonly #scripts: LuaScript[] = [];
  readonly #listeners = new Set<() => void>();
  #ranges: readonly SlotRange[] = [];
  #waiters = new Set<() => void>();
  #isRefreshing = false;
  #timer: NodeJS.Timeout | undefined;
  #lastProblem: unknown;
  /** The server whose slot map was wrong: it is asked last. */
  #suspect: RedisLink | undefined;
  #isClosed = false;

  constructor(options: RedisServersOptions) {
    this.#options = options;
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#channels = new Channels({
      timeoutMs: this.timeoutMs,
      reach: (tag, deadlineMs) => this.reach(tag, deadlineMs),
      linkOf: (tag) => this.#linkOf(tag),
    });
  }

  /** Whether close() was called. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The form of the Redis. */
  get form(): RedisTarget["form"] {
    return this.#options.target.form;
  }

  /** The last failure of a connection. */
  get lastProblem(): unknown {
    return this.#lastProblem;
  }

  /** Adds a greeter for all connections from now on. @returns a function that removes it. */
  addGreeter(greeter: Greeter): Unwatch {
    this.#greeters.push(greeter);
    return () => void this.#greeters.splice(this.#greeters.indexOf(greeter), 1);
  }

  /** Adds scripts to load on each new connection. Existing connections load them on first use. */
  addScripts(...scripts: readonly LuaScript[]): void {
    this.#scripts.push(...scripts);
  }

  /** Starts to connect. */
  start(): void {
    if (this.form === "cluster") {
      this.#refreshSoon();
      this.#timer = setInterval(() => this.#refreshSoon(), REFRESH_MS);
      this.#timer.unref();
    } else this.#openLink(this.form === "sentinel" ? undefined : this.#options.target.addresses[0]);
  }

  /** The servers in use. */
  get links(): readonly RedisLink[] {
    return Array.from(this.#links.values());
  }

  /** Whether every server is up. */
  get isUp(): boolean {
    if (this.#links.size === 0) return false;
    for (const link of this.#links.values()) if (!link.isUp) return false;
    return true;
  }

  /** Calls the listener when a server comes up or goes down. */
  watch(listener: () => void): Unwatch {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Whether a link leads to the server that has the keys of a tag. */
  serves(link: RedisLink, tag: string): boolean {
    return this.#linkOf(tag) === link;
  }

  /**
   * Resolves with the server that has the keys of a tag, once it is up.
   *
   * @throws StreamError STORE_UNAVAILABLE when it does not come up in time.
   */
  async reach(tag: string, deadlineMs = performance.now() + this.timeoutMs): Promise<RedisLink> {
    for (;;) {
      if (this.#isClosed) throw new StreamError("STORE_UNAVAILABLE", "The store is closed.");
      const link = this.#linkOf(tag);
      if (link?.isUp === true) return link;
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw unavailable(this.#lastProblem);
      await this.#changeWithin(leftMs);
    }
  }

  /**
   * Runs work on the server that has the keys of a tag. Until the deadline, it retries commands
   * that certainly did nothing, and reads whose reply was lost.
   *
   * @param work Sends commands. It may be called several times, with several links.
   * @throws StreamError STORE_UNAVAILABLE, OUTCOME_UNKNOWN
   */
  async attempt<T>(
    tag: string,
    kind: CommandKind,
    work: (link: RedisLink) => Promise<T>,
    deadlineMs = performance.now() + this.timeoutMs,
  ): Promise<T> {
    for (;;) {
      const link = await this.reach(tag, deadlineMs);
      try {
        return await work(link);
      } catch (failure) {
        if (!(failure instanceof RedisFailure)) throw failure;
        if (failure.kind === "moved") {
          this.#suspect = link;
          this.#refreshSoon();
        }
        if (failure.kind === "demoted") link.reconnect();
        const mayRepeat = failure.isPassing || (failure.kind === "lost" && kind === "read");
        if (!mayRepeat || performance.now() + RETRY_MS > deadlineMs)
          throw mayRepeat ? unavailable(failure) : streamErrorOf(failure);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** Sends one command about the keys of a tag. @see attempt */
  send(tag: string, command: RedisCommand, kind: CommandKind): Promise<unknown> {
    return this.attempt(tag, kind, (link) => link.send(command, kind));
  }

  /** Runs a script on keys of a tag. @see attempt */
  run(
    tag: string,
    script: LuaScript,
    keys: readonly string[],
    args: readonly (string | Buffer)[],
    kind: CommandKind,
  ): Promise<unknown> {
    return this.attempt(tag, kind, (link) => link.run(script, keys, args, kind));
  }

  /**
   * Subscribes to a channel, whose name contains the tag. Resolves once the server has confirmed
   * it.
   *
   * @throws StreamError STORE_UNAVAILABLE on timeout.
   */
  async subscribe(tag: string, name: string, listener: ChannelListener): Promise<Unwatch> {
    if (this.#isClosed) throw new StreamError("STORE_UNAVAILABLE", "The store is closed.");
    return this.#channels.subscribe(tag, name, listener);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const link of this.#links.values()) link.close();
    this.#changed();
  }

  #linkOf(tag: string): RedisLink | undefined {
    if (this.form !== "cluster") return this.#links.values().next().value;
    let slot = this.#slots.get(tag);
    if (slot === undefined) this.#slots.set(tag, (slot = slotOf(tag)));
    for (const { first, last, master } of this.#ranges)
      if (first <= slot && slot <= last) return this.#links.get(addressText(master));
    return undefined;
  }

  #openLink(address: RedisAddress | undefined): void {
    const link = new RedisLink({
      target: this.#options.target,
      address,
      name: `millrace-${this.instanceId.slice(0, 8)}`,
      minReplicas: this.#options.minReplicas ?? 0,
      timeoutMs: this.timeoutMs,
      scripts: () => this.#scripts,
      greet: async (greeted, facts) => {
        for (const greeter of Array.from(this.#greeters)) await greeter(greeted, facts);
      },
      onChange: (problem) => {
        if (problem !== undefined) {
          this.#lastProblem = problem;
          this.#options.onProblem?.(problem);
        }
        if (this.form === "cluster" && !link.isUp) this.#refreshSoon();
        this.#changed();
      },
      onMessage: (channel, message) => this.#channels.deliver(channel, message),
      onDoubt: (channels) => this.#channels.doubt(channels),
      onMoved: () => this.#refreshSoon(),
    });
    this.#links.set(address === undefined ? "" : addressText(address), link);
  }

  #changed(): void {
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const wake of waiters) wake();
    for (const listener of Array.from(this.#listeners)) listener();
  }

  #changeWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        timer.cancel();
        this.#waiters.delete(wake);
        resolve();
      };
      const timer = startTimer(ms, wake);
      this.#waiters.add(wake);
    });
  }

  #refreshSoon(): void {
    if (this.form !== "cluster" || this.#isClosed) return;
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    void this.#refresh().finally(() => {
      setTimeout(() => {
        this.#isRefreshing = false;
        if (!this.isUp) this.#refreshSoon();
      }, HURRY_MS).unref();
    });
  }

  /** Reads the slot map from the first server that has one. */
  async #refresh(): Promise<void> {
    const links = Array.from(this.#links.values()).sort(
      (a, b) => Number(a === this.#suspect) - Number(b === this.#suspect),
    );
    for (const link of links) {
      if (!link.isUp) continue;
      const address = this.#addressOf(link);
      const reply = await link.send(["CLUSTER", "SLOTS"], "read").catch(() => undefined);
      if (reply !== undefined && this.#take(readSlots(reply, address))) return;
    }
    for (const address of this.#options.target.addresses) {
      if (this.#isClosed || this.#links.get(addressText(address))?.isUp === true) continue;
      const reply = await askForSlots(this.#options.target, address);
      if (reply !== undefined && this.#take(readSlots(reply, address))) return;
    }
  }

  #addressOf(link: RedisLink): RedisAddress {
    const found = this.#ranges.find(({ master }) => this.#links.get(addressText(master)) === link);
    return found?.master ?? this.#options.target.addresses[0];
  }

  /** @returns whether the map is usable: not empty. */
  #take(ranges: readonly SlotRange[]): boolean {
    if (ranges.length === 0 || this.#isClosed) return false;
    const masters = new Map(ranges.map(({ master }) => [addressText(master), master]));
    const isSame = JSON.stringify(ranges) === JSON.stringify(this.#ranges);
    this.#ranges = ranges;
    if (isSame) return true;
    for (const [text, link] of this.#links) {
      if (masters.has(text)) continue;
      this.#links.delete(text);
      link.close();
    }
    for (const [text, master] of masters) if (!this.#links.has(text)) this.#openLink(master);
    this.#channels.review();
    this.#changed();
    return true;
  }
}
