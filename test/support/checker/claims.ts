import type { SnapshotItem, SubscribeRecord } from "./history.ts";
import { type GroupModel, isOneSnapshot } from "./model.ts";
import { whereOf } from "./trace.ts";
import type { Where } from "./violation.ts";

/** A claim about the state of a group at a position. */
export interface Claim {
  readonly what: "sync" | "list";
  readonly epoch: string;
  readonly revision: number;
  /** The call that brought it began at this time. */
  readonly start: number;
  readonly items: readonly SnapshotItem[];
  /**
   * Its scope: `group`: these are all items; `page`: these are among the items; `item`: this item is
   * as shown, or missing; `window`: these are the newest items, at most this many.
   */
  readonly scope: "group" | "page" | { readonly item: string } | { readonly window: number };
  /** Taken when all clients were idle. */
  readonly final: boolean;
  readonly where: Where;
}

function scopeOf({ item, window }: SubscribeRecord): Claim["scope"] {
  if (item !== undefined) return { item };
  return window === undefined ? "group" : { window };
}

/** All claims of the syncs and listings of a group. */
export function claimsOf(group: GroupModel): readonly Claim[] {
  const claims: Claim[] = [];
  for (const { record, segments } of group.subscriptions) {
    for (const { kind, complete, base, items, subscription, frame } of segments) {
      if (kind !== "sync" || !complete) continue;
      const scope = scopeOf(record);
      const where = whereOf(subscription, frame);
      claims.push({ what: "sync", ...base, start: record.t, items, scope, final: false, where });
    }
  }
  for (const list of group.lists) {
    const { pages, client } = list;
    const where: Where = { group: group.group, client };
    const final = list === group.final;
    const [first] = pages;
    const whole = first !== undefined && isOneSnapshot(list);
    if (whole) {
      const items = pages.flatMap((page) => page.items);
      claims.push({
        what: "list",
        ...first.position,
        start: list.t,
        items,
        scope: "group",
        final,
        where,
      });
    }
    // Each page is a separate read, which began when the previous page had arrived.
    pages.forEach(({ position, items }, i) => {
      if (whole && i === 0) return;
      const start = pages[i - 1]?.t ?? list.t;
      claims.push({
        what: "list",
        ...position,
        start,
        items: whole ? [] : items,
        scope: "page",
        final,
        where,
      });
    });
  }
  return claims;
}
