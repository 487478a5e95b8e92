import type { SessionRecord } from "../../core/coordinator.ts";
import { type LuaScript, luaScript } from "../../redis/lua-script.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import { type FleetKeys, processOf } from "./fleet-keys.ts";

/** A session as it is stored. */
export interface StoredSession extends SessionRecord {
  readonly isBound: boolean;
  /** The member that holds it. */
  readonly holder: string;
  /** How often it changed hands. */
  readonly changes: number;
  /** Id and payload of each subscription. */
  readonly leases: readonly (readonly [id: string, payload: string])[];
}

/** A session that this process holds, or wants to. */
export interface KeptSession extends SessionRecord {
  /** Whether it came from a process that is gone, and no client has taken it up since. */
  readonly isAdopted: boolean;
  /** How often it changed hands; 0: it is new. */
  readonly changes: number;
  readonly leases: Iterable<readonly [id: string, payload: string]>;
}

/** A session that was recorded. */
export interface Kept {
  readonly changes: number;
  /**
   * Another process had adopted it: the ids of the subscriptions that it has left. Undefined: none
   * had.
   */
  readonly reclaimed: ReadonlySet<string> | undefined;
}

const keep = luaScript(import.meta.url, "lua/session-keep");
const take = luaScript(import.meta.url, "lua/session-take");
const end = luaScript(import.meta.url, "lua/session-end");
const hold = luaScript(import.meta.url, "lua/session-hold");
const detach = luaScript(import.meta.url, "lua/session-detach");
const adopt = luaScript(import.meta.url, "lua/session-adopt");
const bind = luaScript(import.meta.url, "lua/session-bind");
const living = luaScript(import.meta.url, "lua/session-living");

/** The scripts that the servers must load. */
export const SESSION_SCRIPTS: readonly LuaScript[] = [
  keep,
  take,
  end,
  hold,
  detach,
  adopt,
  bind,
  living,
];

/** The member that asks has no lease: its process has to join the fleet anew first. */
export type NoMember = "no member";

/** Taken: another process holds the session, or it has ended. Missing: there is no record of it. */
export type SessionRefusal = "taken" | "missing" | NoMember;

/**
 * The Redis commands about the sessions of a fleet. Each rejects with a StreamError when Redis
 * cannot be reached.
 */
export interface SessionCommands {
  /**
   * Records a session.
   *
   * @param lostUntilMs Until when a missing record was lost rather than removed, by the clock of
   *   Redis, in milliseconds; undefined: always.
   */
  keep(
    member: string,
    session: KeptSession,
    lostUntilMs: number | undefined,
  ): Promise<Kept | "taken" | "over" | NoMember>;
  /** A session that has not ended. */
  find(id: string): Promise<StoredSession | undefined>;
  /** Gives a session to a member, if it has changed hands so often and not more. */
  take(
    member: string,
    id: string,
    changes: number,
  ): Promise<StoredSession | "gone" | "moved" | NoMember>;
  /**
   * Ends a session. Its leases become those of the member.
   *
   * @param tombstoneMs How long it is known that it has ended, in milliseconds.
   */
  end(member: string, id: string, tombstoneMs: number): Promise<"ended" | SessionRefusal>;
  /** Records a subscription of a session. */
  hold(
    member: string,
    session: string,
    id: string,
    payload: string,
  ): Promise<"held" | SessionRefusal>;
  /** Makes a subscription of a session one of its member only. */
  detach(
    member: string,
    session: string,
    id: string,
    payload: string,
  ): Promise<"detached" | SessionRefusal>;
  /** Removes a subscription of a session. */
  release(session: string, id: string): Promise<void>;
  /** Adopts some sessions of a member that is gone; undefined: it has none left, or is not gone. */
  adopt(gone: string, member: string): Promise<readonly StoredSession[] | undefined>;
  /** Records that items are bound to a connection. @returns Whether its session continues. */
  bind(session: Pick<SessionRecord, "id" | "connectionId">): Promise<boolean>;
  /** The connections among these that `bind` was called for and whose sessions continue. */
  connected(connections: readonly string[]): Promise<ReadonlySet<string>>;
  /** Ids of the sessions of a member, and maybe of some that it held before. */
  heldBy(member: string): Promise<readonly string[]>;
  /** The members that hold sessions. */
  holders(): Promise<readonly string[]>;
}

/** Sessions per command, so that no command takes long. */
const PER_COMMAND = 50;
const LEASE = "lease:";

/** The commands about the sessions of a fleet. */
export function sessionCommands(servers: RedisServers, keys: FleetKeys): SessionCommands {
  const { tag, leases, sessionHolders, bound } = keys;
  return {
    async keep(member, session, lostUntilMs) {
      const { id, owner, connectionId, isAdopted, changes, leases: held } = session;
      const names = [keys.session(id), keys.sessions(member), sessionHolders, leases];
      const args = [id, member, processOf(member), owner, connectionId, isAdopted ? "" : "1"];
      args.push(String(changes), lostUntilMs === undefined ? "" : String(Math.floor(lostUntilMs)));
      for (const [lease, payload] of held) args.push(lease, payload);
      const reply = await servers.run(tag, keep, names, args, "write");
      const [outcome, changed, found] = reply as [Buffer, number, Buffer[]];
      switch (String(outcome)) {
        case "kept":
          return { changes: changed, reclaimed: undefined };
        case "reclaimed":
          return { changes: changed, reclaimed: new Set(found.map(String)) };
        case "out":
          return "no member";
        case "over":
          return "over";
        default:
          return "taken";
      }
    },
    async find(id) {
      const reply = await servers.send(tag, ["HGETALL", keys.session(id)], "read");
      return readSession(id, reply as Buffer[]);
    },
    async take(member, id, changes) {
      const names = [keys.session(id), keys.sessions(member), sessionHolders, leases];
      const args = [id, member, String(changes)];
      const reply = await servers.run(tag, take, names, args, "write");
      const [outcome, fields] = reply as [Buffer, Buffer[]];
      const text = String(outcome);
      if (text === "taken") return readSession(id, fields) ?? "gone";
      return text === "out" ? "no member" : (text as "gone" | "moved");
    },
    async end(member, id, tombstoneMs) {
      const names = [
        ...[keys.session(id), keys.sessions(member), sessionHolders, leases],
        ...[keys.held(member), keys.holders, bound],
      ];
      const args = [id, member, processOf(member), String(tombstoneMs)];
      const code = await servers.run(tag, end, names, args, "write");
      return code === 1 ? "ended" : refusalOf(code);
    },
    async hold(member, session, id, payload) {
      const names = [keys.session(session), leases];
      const args = [member, processOf(member), id, payload];
      const code = await servers.run(tag, hold, names, args, "write");
      return code === 1 ? "held" : refusalOf(code);
    },
    async detach(member, session, id, payload) {
      const names = [keys.session(session), keys.held(member), keys.holders, leases];
      const args = [member, processOf(member), id, payload];
      const code = await servers.run(tag, detach, names, args, "write");
      return code === 1 ? "detached" : refusalOf(code);
    },
    async release(session, id) {
      await servers.send(tag, ["HDEL", keys.session(session), LEASE + id], "write");
    },
    async adopt(gone, member) {
      const command = ["SRANDMEMBER", keys.sessions(gone), String(PER_COMMAND)] as const;
      const ids = ((await servers.send(tag, command, "read")) as Buffer[]).map(String);
      const names = [
        ...[keys.sessions(gone), keys.sessions(member), sessionHolders, leases],
        ...ids.map((id) => keys.session(id)),
      ];
      const reply = await servers.run(tag, adopt, names, [gone, member, ...ids], "write");
      if (ids.length === 0 || !Array.isArray(reply)) return undefined;
      const flat = reply as (Buffer | Buffer[])[];
      const adopted: StoredSession[] = [];
      for (let i = 0; i + 1 < flat.length; i += 2) {
        const session = readSession(String(flat[i]), flat[i + 1] as Buffer[]);
        if (session !== undefined) adopted.push(session);
      }
      return adopted;
    },
    async bind({ id, connectionId }) {
      const names = [keys.session(id), bound];
      return (await servers.run(tag, bind, names, [id, connectionId], "write")) === 1;
    },
    async connected(connections) {
      if (connections.length === 0) return new Set();
      const reply = await servers.send(tag, ["HMGET", bound, ...connections], "read");
      const ids = reply as readonly (Buffer | null)[];
      const known = connections.filter((_, index) => ids[index] !== null);
      if (known.length === 0) return new Set();
      const sessions = ids.flatMap((id) => (id === null ? [] : [keys.session(String(id))]));
      // The end of a session removes both at once: one without the other is the work of a copy that
      // was restored key by key. To count the sessions costs a tenth of reading them.
      const count = await servers.send(tag, ["EXISTS", ...sessions], "read");
      if (count === sessions.length) return new Set(known);
      const lives = (await servers.run(tag, living, sessions, [], "read")) as readonly number[];
      return new Set(known.filter((_, index) => lives[index] === 1));
    },
    async heldBy(member) {
      const reply = await servers.send(tag, ["SMEMBERS", keys.sessions(member)], "read");
      return (reply as Buffer[]).map(String);
    },
    async holders() {
      return ((await servers.send(tag, ["SMEMBERS", sessionHolders], "read")) as Buffer[]).map(
        String,
      );
    },
  };
}

function refusalOf(code: unknown): SessionRefusal {
  if (code === 0) return "no member";
  return code === -2 ? "missing" : "taken";
}

function readSession(id: string, flat: readonly Buffer[]): StoredSession | undefined {
  const leases: [string, string][] = [];
  const fields = new Map<string, string>();
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = String(flat[i]);
    const value = String(flat[i + 1]);
    if (name.startsWith(LEASE)) leases.push([name.slice(LEASE.length), value]);
    else fields.set(name, value);
  }
  const of = (name: string) => fields.get(name) ?? "";
  const holder = of("holder");
  if (holder === "" || fields.has("ended")) return undefined;
  const changes = Number(of("changes"));
  const isBound = of("bound") === "1";
  return {
    id,
    owner: of("owner"),
    connectionId: of("connection"),
    isBound,
    holder,
    changes,
    leases,
  };
}
