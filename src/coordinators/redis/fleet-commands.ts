import { ORDER_TIMEOUT_MS } from "../../core/coordinator.ts";
import { type LuaScript, luaScript } from "../../redis/lua-script.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { FleetKeys } from "./fleet-keys.ts";
import type { FleetEntry, FleetRecord } from "./fleet-log.ts";
import type { FleetStateJson } from "./fleet-state.ts";

/** A position in the log. The token distinguishes two histories that reach the same version. */
export interface LogPosition {
  /** Changes when the log was lost. Empty: there is no log. */
  readonly lineage: string;
  readonly version: number;
  readonly token: string;
}

/** The position before the first record of any log. */
export const NOWHERE: LogPosition = { lineage: "", version: 0, token: "" };

/** A record to be appended. */
export interface Appending {
  /** The required head of the log. */
  readonly expected: LogPosition;
  /** The head after the append. */
  readonly next: LogPosition;
  readonly entries: readonly FleetEntry[];
  /** The appending member, which must have a lease or get one; undefined: no member. */
  readonly author: string | undefined;
  readonly leaseMs: number;
  /** State at the expected position, which the log is truncated to. */
  readonly snapshot: FleetStateJson | undefined;
}

/** The outcome of an append. `conflict`: the head has moved. `gone`: the author has no lease. */
export type Appended =
  | { readonly kind: "ok"; readonly atMs: number; readonly logLength: number }
  | { readonly kind: "conflict" | "gone" };

/** The result of reading the log. */
export interface Reading {
  /** `next`: the records follow the known position. Otherwise: the snapshot, or the beginning. */
  readonly kind: "next" | "reload" | "foreign";
  readonly atMs: number;
  readonly head: LogPosition;
  readonly snapshot: FleetStateJson | undefined;
  readonly records: readonly FleetRecord[];
}

/** The reply to a heartbeat. */
export interface Beat {
  /** Whether the member has a lease, now renewed. */
  readonly isMember: boolean;
  readonly atMs: number;
  readonly head: LogPosition;
  /** Members with a lease. */
  readonly leases: ReadonlySet<string>;
  readonly acks: ReadonlyMap<string, Ack>;
  /** Members that hold subscriptions. */
  readonly holders: readonly string[];
}

/** The position that a member has reached. */
export interface Ack {
  readonly lineage: string;
  readonly version: number;
}

const append = luaScript(import.meta.url, "lua/append");
const read = luaScript(import.meta.url, "lua/read");
const heartbeat = luaScript(import.meta.url, "lua/heartbeat");
const ack = luaScript(import.meta.url, "lua/ack");
const hold = luaScript(import.meta.url, "lua/hold");
const release = luaScript(import.meta.url, "lua/release");
const adopt = luaScript(import.meta.url, "lua/adopt");
const answer = luaScript(import.meta.url, "lua/answer");

/** The scripts that the servers must load. */
export const FLEET_SCRIPTS: readonly LuaScript[] = [
  append,
  read,
  heartbeat,
  ack,
  hold,
  release,
  adopt,
  answer,
];

/** The Redis commands of a fleet. Each rejects with a StreamError when Redis cannot be reached. */
export interface FleetCommands {
  append(appending: Appending): Promise<Appended>;
  read(known: LogPosition): Promise<Reading>;
  heartbeat(member: string, leaseMs: number): Promise<Beat>;
  ack(member: string, ack: Ack): Promise<void>;
  /** Records subscriptions. @returns false when the member has no lease. */
  hold(member: string, leases: Iterable<readonly [id: string, payload: string]>): Promise<boolean>;
  /** Removes subscriptions. */
  release(member: string, ids: Iterable<string>): Promise<void>;
  /** All subscriptions that are recorded for a member. */
  heldBy(member: string): Promise<readonly (readonly [id: string, payload: string])[]>;
  /** Adopts some subscriptions of a member that is gone; empty: none left, or it is not gone. */
  adopt(gone: string, member: string): Promise<readonly (readonly [id: string, payload: string])[]>;
  /** Stores how a member carried out an order of a process. */
  answer(process: string, orderId: string, member: string, answer: string): Promise<void>;
  /** The answers to an order, by member. */
  answersTo(orderId: string): Promise<ReadonlyMap<string, string>>;
  /**
   * Sends a message.
   *
   * @param mayRepeat Whether a duplicate is harmless.
   * @returns the number of receivers.
   */
  publish(channel: string, message: string, mayRepeat: boolean): Promise<number>;
}

/** Subscriptions per command, so that no command takes long. */
const PER_COMMAND = 500;
/** How long answers are kept, in milliseconds: longer than their order can wait for them. */
const ANSWERS_KEPT_MS = 2 * ORDER_TIMEOUT_MS;

/** The commands of a fleet. */
export function fleetCommands(servers: RedisServers, keys: FleetKeys): FleetCommands {
  const { tag, head, log, snapshot, leases, acks, beat, holders, changes } = keys;
  return {
    async append({ expected, next, entries, author, leaseMs, snapshot: state }) {
      const reply = await servers.run(
        tag,
        append,
        [head, log, snapshot, leases, acks, beat, changes],
        [
          ...positionTexts(expected),
          ...positionTexts(next),
          JSON.stringify(entries),
          author ?? "",
          String(leaseMs),
          JSON.stringify(entries.flatMap(entering)),
          JSON.stringify(entries.flatMap(leaving)),
          state === undefined ? "" : JSON.stringify(state),
        ],
        "write",
      );
      const [kind, atMs, logLength] = reply as [Buffer, number, number];
      const text = String(kind) as Appended["kind"];
      return text === "ok" ? { kind: text, atMs, logLength } : { kind: text };
    },
    async read(known) {
      const reply = await servers.run(
        tag,
        read,
        [head, log, snapshot],
        positionTexts(known),
        "read",
      );
      const [kind, atMs, lineage, version, token, , state, records] = reply as ReadReply;
      const text = String(state);
      return {
        kind: String(kind) as Reading["kind"],
        atMs,
        head: { lineage: String(lineage), version: Number(version), token: String(token) },
        snapshot: text === "" ? undefined : (JSON.parse(text) as FleetStateJson),
        records: records.map(readRecord),
      };
    },
    async heartbeat(member, leaseMs) {
      const reply = await servers.run(
        tag,
        heartbeat,
        [head, leases, acks, beat, holders],
        [member, String(leaseMs)],
        "write",
      );
      const [isMember, atMs, lineage, version, token, living, known, holding] = reply as BeatReply;
      return {
        isMember: isMember === 1,
        atMs,
        head: { lineage: String(lineage), version: Number(version), token: String(token) },
        leases: new Set(living.map(String)),
        acks: new Map(pairs(known).map(([id, text]) => [id, readAck(text)])),
        holders: holding.map(String),
      };
    },
    async ack(member, { lineage, version }) {
      const args = [member, lineage, String(version)];
      // A repeated older ack is corrected after the next heartbeat.
      await servers.run(tag, ack, [acks, leases, changes], args, "write");
    },
    async hold(member, held) {
      const names = [keys.held(member), holders, leases];
      for (const some of portions(held)) {
        const args = [member, ...some.flat()];
        if ((await servers.run(tag, hold, names, args, "write")) !== 1) return false;
      }
      return true;
    },
    async release(member, ids) {
      for (const some of portions(ids)) {
        const args = [member, ...some];
        await servers.run(tag, release, [keys.held(member), holders], args, "write");
      }
    },
    async heldBy(member) {
      return pairs((await servers.send(tag, ["HGETALL", keys.held(member)], "read")) as Buffer[]);
    },
    async adopt(gone, member) {
      const from = [keys.held(gone), keys.held(member), holders, leases];
      const args = [gone, member, String(PER_COMMAND)];
      return pairs((await servers.run(tag, adopt, from, args, "write")) as Buffer[]);
    },
    async answer(process, orderId, member, text) {
      const names = [keys.answers(orderId), keys.answered(process)];
      const args = [orderId, member, text, String(ANSWERS_KEPT_MS)];
      // A repetition stores the same again.
      await servers.run(tag, answer, names, args, "read");
    },
    async answersTo(orderId) {
      const reply = await servers.send(tag, ["HGETALL", keys.answers(orderId)], "read");
      return new Map(pairs(reply as Buffer[]));
    },
    async publish(channel, message, mayRepeat) {
      const kind = mayRepeat ? "read" : "write";
      return Number(await servers.send(tag, ["SPUBLISH", channel, message], kind));
    },
  };
}

/** Parses a stored ack. */
export function readAck(text: string): Ack {
  const [lineage = "", version = ""] = text.split(" ");
  return { lineage, version: Number(version) };
}

type ReadReply = [Buffer, number, Buffer, Buffer, Buffer, Buffer, Buffer, [Buffer, Buffer[]][]];
type BeatReply = [number, number, Buffer, Buffer, Buffer, Buffer[], Buffer[], Buffer[]];

function positionTexts({ lineage, version, token }: LogPosition): [string, string, string] {
  return [lineage, String(version), token];
}

/** Members that get a lease. */
function entering(entry: FleetEntry): string[] {
  if (entry.kind === "join") return [entry.member];
  return entry.kind === "restore" ? entry.state.members.map(({ id }) => id) : [];
}

/** Members whose lease is removed. */
function leaving(entry: FleetEntry): string[] {
  return entry.kind === "leave" || entry.kind === "expire" ? [entry.member] : [];
}

function readRecord([id, fields]: [Buffer, Buffer[]]): FleetRecord {
  const of = new Map(pairs(fields));
  return {
    version: Number(String(id).split("-")[0]),
    token: of.get("token") ?? "",
    atMs: Number(of.get("at")),
    entries: JSON.parse(of.get("entries") ?? "[]") as FleetEntry[],
  };
}

function portions<T>(all: Iterable<T>): T[][] {
  const list = Array.from(all);
  const cut: T[][] = [];
  for (let i = 0; i < list.length; i += PER_COMMAND) cut.push(list.slice(i, i + PER_COMMAND));
  return cut;
}

function pairs(flat: readonly Buffer[]): [string, string][] {
  const found: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) found.push([String(flat[i]), String(flat[i + 1])]);
  return found;
}
