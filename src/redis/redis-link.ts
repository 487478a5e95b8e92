import type { Redis } from "ioredis";
import { createClient, cut, keepConnecting } from "./client.ts";
import { Commands, type RedisCommand } from "./commands.ts";
import type { LuaScript } from "./lua-script.ts";
import { RedisFailure } from "./redis-failure.ts";
import type { RedisAddress, RedisTarget } from "./redis-url.ts";
import { type ServerFacts, serverFacts } from "./server-facts.ts";
import { Subscriber } from "./subscriber.ts";

/**
 * What a command is: `read`: it may be repeated, because it changes nothing, or nothing more. `commit`: it
 * must not be, and replicas are waited for. `write`: it must not be.
 */
export type CommandKind = "read" | "commit" | "write";

/** How a link is made. */
export interface LinkOptions {
  readonly target: RedisTarget;
  /** Undefined: the master that the Sentinels name. */
  readonly address: RedisAddress | undefined;
  readonly name: string;
  readonly minReplicas: number;
  /** Longest time that a reply may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Scripts that the server must know. */
  readonly scripts: () => readonly LuaScript[];
  /**
   * Called on each new connection before anything else may use it. When it fails, the connection is
   * given up and another one is made.
   */
  readonly greet: (link: RedisLink, facts: ServerFacts) => Promise<void>;
  /** The link came up, went down, or could not be made. */
  readonly onChange: (problem?: unknown) => void;
  readonly onMessage: (channel: string, message: Buffer) => void;
  /** Messages on these channels may have been missed. */
  readonly onDoubt: (channels: readonly string[]) => void;
  /** The server has given away channels that it had. */
  readonly onMoved: () => void;
}

const REVIEW_MS = 250;
/** A connection that was silent for so long is asked for a sign of life, in milliseconds. */
const PING_AFTER_MS = 1000;
const GREETING_PAUSE_MS = 200;
/** How often a server is asked for its facts again: settings and roles change while it runs. */
const FACTS_AGE_MS = 30_000;

/** One connection, with what is sent over it. */
interface Line {
  readonly client: Redis;
  readonly commands: Commands;
}

/**
 * This process's way to one Redis server: a connection for commands, one for messages, and one for commits
 * if replicas are waited for. Each is opened anew when it is lost, or when its server does not answer.
 *
 *     down --connected--> greeting --greeted--> up
 *      ^                      |                  |
 *      '----lost, stalled, no master, refused----'
 */
export class RedisLink {
  /** What it is called in messages. */
  readonly name: string;
  readonly subscriber: Subscriber;
  readonly #options: LinkOptions;
  readonly #line: Line;
  /** The same line where nobody waits for replicas. */
  readonly #commitLine: Line;
  readonly #timer: NodeJS.Timeout;
  #facts: ServerFacts | undefined;
  #isUp = false;
  #isClosed = false;
  /** Counts connections, so that what belongs to an earlier one is recognised. */
  #connection = 0;
  #connectingSinceMs: number | undefined;
  #factsMs = 0;

  constructor(options: LinkOptions) {
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

  /** Counts connections: two commands sent under one number went over one connection. */
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

  /** Runs a script, which the server learns if it does not know it. @see Commands.send */
  run(
    script: LuaScript,
    keys: readonly string[],
    args: readonly (string | Buffer)[],
    kind: CommandKind,
  ): Promise<unknown> {
    return this.#withScript(script, keys, args, (command) => this.send(command, kind));
  }

  /** Runs a script, also on a connection that is being greeted. Nobody waits for replicas. */
  runEarly(
    script: LuaScript,
    keys: readonly string[],
    args: readonly (string | Buffer)[],
  ): Promise<unknown> {
    return this.#withScript(script, keys, args, (command) => this.#line.commands.send(command));
  }

  /** Gives up the present connections and makes others. */
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

  /** Has the server know a script. */
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
    // The others go with it: they are greeted together.
    if (this.#commitLine !== this.#line) this.reconnect();
  }

  /** What a server was told or has become since it was connected to. */
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
    // A server that takes the connection and does not answer leaves it being made for ever.
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

/** Asks a server for its facts. */
async function readFacts(commands: Commands): Promise<ServerFacts> {
  const settings = ["appendfsync", "maxmemory-policy", "no-appendfsync-on-rewrite"];
  const [info, ...values] = await Promise.all([
    commands.send(["INFO"]),
    ...settings.map((setting) =>
      // Providers of Redis often forbid CONFIG. Then the server does not say.
      commands.send(["CONFIG", "GET", setting]).catch(() => undefined),
    ),
  ]);
  const config = values.every(Array.isArray) ? values.flat().map(String) : undefined;
  return serverFacts(String(info), config);
}
