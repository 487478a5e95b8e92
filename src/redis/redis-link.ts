import type { Redis } from "ioredis";
import { createClient, cut, keepConnecting } from "./client.ts";
import { Commands, type RedisCommand } from "./commands.ts";
import type { LuaScript } from "./lua-script.ts";
import { RedisFailure } from "./redis-failure.ts";
import type { RedisAddress, RedisTarget } from "./redis-url.ts";
import { type ServerFacts, serverFacts } from "./server-facts.ts";
import { Subscriber } from "./subscriber.ts";

/**
 * How a command may be treated. `read`: repeated, because it changes nothing, or is idempotent.
 * `commit`: never repeated, and acknowledged once the replicas have it. `write`: never repeated.
 */
export type CommandKind = "read" | "commit" | "write";

/** Options of a link. */
export interface RedisLinkOptions {
  readonly target: RedisTarget;
  /** Undefined: the master that the Sentinels name. */
  readonly address: RedisAddress | undefined;
  readonly name: string;
  readonly minReplicas: number;
  /** Longest time that a reply may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Scripts to load on each new connection. */
  readonly scripts: () => readonly LuaScript[];
  /**
   * Called on each new connection before anything else may use it. When it rejects, the connection
   * is dropped and a new one is made.
   */
  readonly greet: (link: RedisLink, facts: ServerFacts) => Promise<void>;
  /** The link came up, went down, or could not be made. */
  readonly onChange: (problem?: unknown) => void;
  readonly onMessage: (channel: string, message: Buffer) => void;
  /** Messages on these channels may have been missed. */
  readonly onDoubt: (channels: readonly string[]) => void;
  /** The server no longer has channels that it had. */
  readonly onMoved: () => void;
}

const REVIEW_MS = 250;
/** Silence after which a connection is pinged, in milliseconds. */
const PING_AFTER_MS = 1000;
const GREETING_PAUSE_MS = 200;
/** Age at which facts are read again, in milliseconds: settings and roles change at run time. */
const FACTS_AGE_MS = 30_000;

/** One connection and its commands. */
interface Line {
  readonly client: Redis;
  readonly commands: Commands;
}

/**
 * The connections of this process to one Redis server: one for commands, one for messages, and one
 * for commits if replicas must have them. Each reconnects when it is lost, or when its server
 * stalls.
 *
 *     down --connected--> greeting --greeted--> up
 *      ^                      |                  |
 *      '----lost, stalled, no master, refused----'
 */
export class RedisLink {
  /** The name of the server, for messages. */
  readonly name: string;
  readonly subscriber: Subscriber;
  readonly #options: RedisLinkOptions;
  readonly #line: Line;
  /** The same as `#line` when no replicas are required. */
  readonly #commitLine: Line;
  readonly #timer: NodeJS.Timeout;
  #facts: ServerFacts | undefined;
  #isUp = false;
  #isClosed = false;
  /** Counts connections, to recognise work of an earlier one. */
  #connection = 0;
  #connectingSinceMs: number | undefined;
  #factsMs = 0;

  constructor(options: RedisLinkOptions) {
    const { target, address, timeoutMs, minReplicas, name } = options;
    this.#options = options;
    this.name = address === undefined ? "the master" : `${address.host}:${address.port}`;
    this.#line = this.#openLine(name, 0);
    this.#commitLine =
      minReplicas > 0 ? this.#openLine(`${name}-commits`, minReplicas) : this.#line;
    this.subscriber = new Subscriber({
      client: createClient(target, address, `${name}-feed`),
      timeoutMs,
      onMessage: options.onMessage,
      onDoubt: options.onDoubt,
      onMoved: options.onMoved,
    });
    this.#timer = setInterval(() => this.#review(), REVIEW_MS);
    this.#timer.unref();
  }

  /** Whether commands may be sent. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Counts connections: commands sent under the same number went over the same connection. */
  get generation(): number {
    return this.#connection;
  }

  /** The server behind it; undefined while it is down. */
  get facts(): ServerFacts | undefined {
    return this.#facts;
  }

  /** @see Commands.send */
  send(command: RedisCommand, kind: CommandKind): Promise<unknown> {
    if (!this.#isUp)
      return Promise.reject(new RedisFailure("unsent", `There is no connection to ${this.name}.`));
    return kind === "commit"
      ? this.#commitLine.commands.send(command, true)
      : this.#line.commands.send(command);
  }

  /** Runs a script, and loads it first if the server does not know it. @see Commands.send */
  run(
    script: LuaScript,
    keys: readonly string[],
    args: readonly (string | Buffer)[],
    kind: CommandKind,
  ): Promise<unknown> {
    return this.#withScript(script, keys, args, (command) => this.send(command, kind));
  }

  /** Runs a script, also during the greeting of a connection. Does not wait for replicas. */
  runEarly(
    script: LuaScript,
    keys: readonly string[],
    args: readonly (string | Buffer)[],
  ): Promise<unknown> {
    return this.#withScript(script, keys, args, (command) => this.#line.commands.send(command));
  }

  /** Drops the present connections and opens new ones. */
  reconnect(): void {
    if (this.#isClosed) return;
    for (const { client } of this.#lines) cut(client, true);
  }

  close(): void {
    this.#isClosed = true;
    this.#isUp = false;
    clearInterval(this.#timer);
    for (const { client } of this.#lines) cut(client, false);
    this.subscriber.close();
  }

  get #lines(): ReadonlySet<Line> {
    return new Set([this.#line, this.#commitLine]);
  }

  #openLine(name: string, minReplicas: number): Line {
    const { target, address, timeoutMs, onChange } = this.#options;
    const client = createClient(target, address, name);
    const onStalled = () => cut(client, true);
    const commands = new Commands({ client, minReplicas, timeoutMs, onStalled });
    client.on("connecting", () => (this.#connectingSinceMs ??= performance.now()));
    client.on("ready", () => this.#greetWhenReady());
    client.on("close", () => this.#goDown());
    client.on("error", (error: unknown) => onChange(error));
    keepConnecting(client, () => this.#isClosed);
    return { client, commands };
  }

  async #withScript(
    script: LuaScript,
    keys: readonly string[],
    args: readonly (string | Buffer)[],
    send: (command: RedisCommand) => Promise<unknown>,
  ): Promise<unknown> {
    const command: RedisCommand = ["EVALSHA", script.sha, String(keys.length), ...keys, ...args];
    try {
      return await send(command);
    } catch (failure) {
      if (!(failure instanceof RedisFailure) || failure.kind !== "no_script") throw failure;
      await this.#load(script);
      return send(command);
    }
  }

  /** Loads a script into the server. */
  async #load({ text }: LuaScript): Promise<void> {
    await this.#line.commands.send(["SCRIPT", "LOAD", text]);
  }

  #greetWhenReady(): void {
    for (const { client } of this.#lines) if (client.status !== "ready") return;
    void this.#greet(++this.#connection);
  }

  async #greet(connection: number): Promise<void> {
    try {
      const facts = await readFacts(this.#line.commands);
      if (!facts.isMaster) throw new RedisFailure("demoted", `${this.name} is a replica.`);
      if (this.#commitLine !== this.#line) {
        const { runId } = await readFacts(this.#commitLine.commands);
        if (runId !== facts.runId) throw new RedisFailure("unsent", "The connections differ.");
      }
      for (const script of this.#options.scripts()) await this.#load(script);
      await this.#options.greet(this, facts);
      if (connection !== this.#connection || this.#isClosed) return;
      for (const { client } of this.#lines) if (client.status !== "ready") return;
      this.#connectingSinceMs = undefined;
      this.#facts = facts;
      this.#factsMs = performance.now();
      this.#isUp = true;
      this.#options.onChange();
    } catch (error) {
      if (connection !== this.#connection || this.#isClosed) return;
      this.#options.onChange(error);
      setTimeout(() => {
        if (connection === this.#connection) this.reconnect();
      }, GREETING_PAUSE_MS).unref();
    }
  }

  #goDown(): void {
    this.#connection++;
    this.#connectingSinceMs = undefined;
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#facts = undefined;
    this.#options.onChange();
    // The other connection is replaced too: they are greeted together.
    if (this.#commitLine !== this.#line) this.reconnect();
  }

  /** Reads the facts again, and reconnects when the role or the process has changed. */
  async #renewFacts(nowMs: number): Promise<void> {
    this.#factsMs = nowMs;
    const connection = this.#connection;
    const facts = await readFacts(this.#line.commands).catch(() => undefined);
    if (facts === undefined || connection !== this.#connection || !this.#isUp) return;
    if (facts.isMaster && facts.runId === this.#facts?.runId) this.#facts = facts;
    else this.reconnect();
  }

  #review(): void {
    const nowMs = performance.now();
    // A server that accepts the connection but never replies would leave it connecting forever.
    const since = this.#connectingSinceMs;
    if (!this.#isUp && since !== undefined && nowMs - since > this.#options.timeoutMs) {
      this.#connectingSinceMs = nowMs;
      this.reconnect();
    }
    for (const { commands } of this.#lines) {
      commands.review(nowMs);
      if (this.#isUp && nowMs - commands.lastReplyMs > PING_AFTER_MS)
        commands.send(["PING"]).catch(() => {});
    }
    if (this.#isUp && nowMs - this.#factsMs > FACTS_AGE_MS) void this.#renewFacts(nowMs);
    this.subscriber.review(nowMs);
  }
}

/** Reads the facts of a server. */
async function readFacts(commands: Commands): Promise<ServerFacts> {
  const settings = ["appendfsync", "maxmemory-policy", "no-appendfsync-on-rewrite"];
  const [info, ...values] = await Promise.all([
    commands.send(["INFO"]),
    ...settings.map((setting) =>
      // Managed Redis often forbids CONFIG: the setting stays unknown.
      commands.send(["CONFIG", "GET", setting]).catch(() => undefined),
    ),
  ]);
  const config = values.every(Array.isArray) ? values.flat().map(String) : undefined;
  return serverFacts(String(info), config);
}
