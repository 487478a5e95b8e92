import type { GroupKey } from "./names.ts";

/**
 * How long an item lives, as a write asks for it. Both parts are independent: an item with both goes
 * at whichever end comes first.
 */
export interface Lifetime {
  /** Milliseconds from the commit on. Absent: it does not expire. */
  readonly ttlMs?: number | undefined;
  /** Id of the connection that it is bound to. Absent: of none. */
  readonly connection?: string | undefined;
}

/** The lifetime of a stored item. An item without an end has none. */
export interface ItemLifetime {
  /** Wall clock of its end, Unix milliseconds; undefined: it does not expire. */
  readonly expireTimeMs: number | undefined;
  /** Id of the connection that it is bound to; undefined: of none. */
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

/** Shortest lifetime by the clock that a caller may ask for, in milliseconds. */
export const MIN_TTL_MS = 1000;
/** Longest one: 10 years. */
export const MAX_TTL_MS = 3650 * 24 * 3_600_000;

/** The lifetime of an item that a write replaces as a whole. */
export function lifetimeFrom(asked: Lifetime | undefined, nowMs: number): ItemLifetime | undefined {
  return asked === undefined ? undefined : changedLifetime(undefined, asked, nowMs);
}

/** The lifetime of an item whose update changes the parts that it names, and keeps the others. */
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
 * Items that go by themselves: an index of the store, kept in the same step as the items.
 *
 * Expiry goes by the wall clock of commits. Where that clock goes back, items live longer by as much
 * as it went back; where it leaps ahead, they go earlier by as much as it leapt.
 */
export interface Lifetimes {
  /**
   * Items whose time has passed, the longest overdue first. Of a fleet, each process lists only
   * groups that it is responsible for, so that at most one process at a time deletes an item.
   */
  expired(limit: number): Promise<readonly ExpiredItem[]>;
  /**
   * Items that are bound to a connection, in no particular order.
   *
   * @param within Groups that have all of them, as far as the caller knows. Default: any.
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
