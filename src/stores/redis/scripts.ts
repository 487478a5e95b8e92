import { type LuaScript, luaScript } from "../../redis/lua-script.ts";

const script = (name: string, ...more: readonly string[]): LuaScript =>
  luaScript(import.meta.url, `lua/${name}`, ["lua/records", "lua/lineage", ...more]);

/** Runs commits of several groups of a partition. */
export const COMMIT: LuaScript = script("commit", "lua/keys");
/** Registers a writer. */
export const VERIFY: LuaScript = script("verify");
/** Fences a writer. */
export const FENCE: LuaScript = script("fence");
/** Heads of groups. */
export const HEADS: LuaScript = script("heads");
/** Items of a group. */
export const GET: LuaScript = script("get", "lua/keys");
/** A page of items. */
export const LIST_ITEMS: LuaScript = script("list");
/** Changes after a revision. */
export const SINCE: LuaScript = script("since");
/** Which changes a log holds. */
export const LOG_RANGE: LuaScript = script("log-range");
/** Groups to sweep. */
export const DUE: LuaScript = script("due");
/** Sweeps groups. */
export const SWEEP: LuaScript = script("sweep", "lua/keys");
/** Items whose time has passed. */
export const EXPIRED: LuaScript = script("expired");
/** A page of connections that items are bound to. */
export const BOUND: LuaScript = script("bound");
/** Items that are bound to connections. */
export const BOUND_TO: LuaScript = script("bound-to");
/** Entries of an outbox. */
export const SCAN: LuaScript = script("scan");
/** Claims an outbox. */
export const CLAIM: LuaScript = script("claim");
/** Settles entries of an outbox. */
export const SETTLE: LuaScript = script("settle");
/** Makes the keys of a group agree. */
export const REPAIR: LuaScript = script("repair");
/** Raises the format of the data. */
export const RAISE_FORMAT: LuaScript = script("format");

/** All scripts. */
export const SCRIPTS: readonly LuaScript[] = [
  COMMIT,
  VERIFY,
  FENCE,
  HEADS,
  GET,
  LIST_ITEMS,
  SINCE,
  LOG_RANGE,
  DUE,
  SWEEP,
  EXPIRED,
  BOUND,
  BOUND_TO,
  SCAN,
  CLAIM,
  SETTLE,
  REPAIR,
  RAISE_FORMAT,
];
