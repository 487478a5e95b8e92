import type { SessionRecord } from "../../core/coordinator.ts";
import { type LuaScript, luaScript } from "../../redis/lua-script.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { FleetKeys } from "./fleet-keys.ts";

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
  readonly leases: Iterable<readonly [id: string, payload: string]>;
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

/**
 * The Redis commands about the sessions of a fleet. Each rejects with a StreamError when Redis
 * cannot be reached.
 */
export interface SessionCommands {
  /** Records a session. @returns how often it changed hands. */
  keep(member: string, process: string, session: KeptSession): Promise<number | "taken" | NoMember>;
  /** A stored session. */
  find(id: string): Promise<StoredSession | undefined>;
  /** Gives a session to a member, if it has changed hands so often and not more. */
  take(
    member: string,
    id: string,
    changes: number,
  ): Promise<StoredSession | "gone" | "moved" | NoMember>;
  /** Ends a session. Its leases become those of the member. */
  end(member: string, id: string): Promise<"ended" | "taken" | "gone" | NoMember>;
  /** Records a subscription of a session. */
  hold(
    member: string,
    session: string,
    id: string,
    payload: string,
  ): Promise<"held" | "taken" | NoMember>;
  /** Makes a subscription of a session one of its member only. */
  detach(member: string, session: string, id: string): Promise<"detached" | "taken" | NoMember>;
  /** Removes a subscription of a session. */
  release(session: string, id: string): Promise<void>;
  /** Adopts some sessions of a member that is gone; undefined: it has none left, or is not gone. */
  adopt(gone: string, member: string): Promise<readonly StoredSession[] | undefined>;
  /** Records that items are bound to a connection. @returns Whether its session goes on. */
  bind(session: Pick<SessionRecord, "id" | "connectionId">): Promise<boolean>;
  /** Those of the connections that `bind` was called for and whose sessions go on. */
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
    async keep(member, process, { id, owner, connectionId, isAdopted, leases: held }) {
      const names = [keys.session(id), keys.sessions(member), sessionHolders, leases];
      const args = [id, member, process, owner, connectionId, isAdopted ? "" : "1"];
      for (const [lease, payload] of held) args.push(lease, payload);
      const changes = Number(await servers.run(tag, keep, names, args, "write"));
      if (changes === 0) return "no member";
      return changes < 0 ? "taken" : changes;
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
    async end(member, id) {
      const names = [
        ...[keys.session(id), keys.sessions(member), sessionHolders, leases],
        ...[keys.held(member), keys.holders, bound],
      ];
      switch (await servers.run(tag, end, names, [id, member], "write")) {
        case 1:
          return "ended";
        case 0:
          return "no member";
        case -1:
          return "taken";
        default:
          return "gone";
      }
    },
    async hold(member, session, id, payload) {
      const names = [keys.session(session), leases];
      switch (await servers.run(tag, hold, names, [member, id, payload], "write")) {
        case 1:
          return "held";
        case 0:
          return "no member";
        default:
          return "taken";
      }
    },
    async detach(member, session, id) {
      const names = [keys.session(session), keys.held(member), keys.holders, leases];
      switch (await servers.run(tag, detach, names, [member, id], "write")) {
        case 1:
          return "detached";
        case 0:
          return "no member";
        default:
          return "taken";
      }
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
  // A subscription may have been released after its session had ended.
  if (holder === "") return undefined;
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
