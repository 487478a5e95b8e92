import type { GroupKey } from "./names.ts";

/**
 * How long an item lives, as a write requests it. The parts are independent: an item with both is
 * deleted at whichever end comes first.
 */
export interface Lifetime {
  /** Milliseconds from the commit. Absent: it does not expire. */
  readonly ttlMs?: number | undefined;
  /** Id of the connection that it is bound to. Absent: to none. */
  readonly connection?: string | undefined;
}

/** The lifetime of a stored item. An item without an end has none. */
export interface ItemLifetime {
  /** Wall clock of its end, Unix milliseconds; undefined: it does not expire. */
  readonly expireTimeMs: number | undefined;
  /** Id of the connection that it is bound to; undefined: to none. */
  readonly connection: string | undefined;
}

/** Why the service itself deletes an item. */
export type Cause = "expired" | "disconnected" | "evicted";

/** Names an item. */
export interface ItemName {
  readonly group: GroupKey;
  readonly itemId: string;
}

/** An item whose time has passed. */
export interface ExpiredItem extends ItemName {
  /** Wall clock of its end, Unix milliseconds. */
  readonly expireTimeMs: number;
}

/** A page of connections that items are bound to. */
export interface ConnectionPage {
  /** Each once in this page. They may be in later ones as well. */
  readonly connections: readonly string[];
  /** Where the next page begins, in a form that is the store's own; undefined: this is the last. */
  readonly next: string | undefined;
}

/** Shortest `ttl` that a caller may request, in milliseconds. */
export const MIN_TTL_MS = 1000;
/** Longest one: 10 years. */
export const MAX_TTL_MS = 3650 * 24 * 3_600_000;

/** The lifetime of an item that a write replaces as a whole. */
export function lifetimeFrom(asked: Lifetime | undefined, nowMs: number): ItemLifetime | undefined {
  return asked === undefined ? undefined : changedLifetime(undefined, asked, nowMs);
}

/** The lifetime of an updated item: parts that the update names change, the others stay. */
export function changedLifetime(
  current: ItemLifetime | undefined,
  asked: Lifetime | undefined,
  nowMs: number,
): ItemLifetime | undefined {
  if (asked === undefined) return current;
  const expireTimeMs = asked.ttlMs === undefined ? current?.expireTimeMs : nowMs + asked.ttlMs;
  const connection = asked.connection ?? current?.connection;
  if (expireTimeMs === undefined && connection === undefined) return undefined;
  return { expireTimeMs, connection };
}

/**
 * The lifetimes of items: an index of the store, kept in the same step as the items.
 *
 * Expiry uses the wall clock of commits. When that clock is set back, items live longer by as much;
 * when it leaps ahead, they expire earlier by as much.
 */
export interface Lifetimes {
  /**
   * Items whose time has passed, the longest overdue first. In a fleet, each process lists only
   * groups that it is responsible for, so that at most one process at a time deletes an item.
   */
  expired(limit: number): Promise<readonly ExpiredItem[]>;
  /**
   * Items that are bound to a connection, in no particular order.
   *
   * @param within The only groups that may have any, as far as the caller knows. Default: all.
   */
  boundTo(
    connection: string,
    limit: number,
    within?: readonly GroupKey[],
  ): Promise<readonly ItemName[]>;
  /**
   * Connections that items are bound to, in an order of the store's own: all that have items
   * throughout the pages. Of a fleet, each process lists only those of groups that it is
   * responsible for.
   *
   * @param page `from`: `next` of the page before. `limit`: most connections, at least 1.
   */
  connections(page: { from?: string | undefined; limit: number }): Promise<ConnectionPage>;
}
