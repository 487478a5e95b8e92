import type { Position } from "../../../../src/core/position.ts";
import type { SnapshotItem } from "../history.ts";
import type { Subscription } from "../attempts.ts";
import { whereOf } from "../trace.ts";
import type { CheckContext } from "./context.ts";

/**
 * At the end, once all clients are idle, every subscription that is still live has received every
 * change (G3): the state that a client folds from its frames equals the final listing.
 */
export function checkFinal(context: CheckContext): void {
  const { group } = context;
  const [page] = group.final?.pages ?? [];
  if (group.final === undefined || page === undefined) return;
  const items = new Map(
    group.final.pages.flatMap(({ items: all }) => all).map((item) => [item.item, item]),
  );
  for (const subscription of group.subscriptions) {
    const { end } = subscription;
    if (end !== undefined && (end.by !== "client" || end.t < page.t)) continue;
    if (subscription.segments.at(-1)?.complete === true)
      compare(context, subscription, page.position, items);
  }
}

function compare(
  { group, report }: CheckContext,
  subscription: Subscription,
  final: Position,
  items: ReadonlyMap<string, SnapshotItem>,
): void {
  const { item: only, window } = subscription.record;
  const where = whereOf(subscription, subscription.frames.length - 1);
  const { state, epoch, revision } = fold(subscription);
  const due =
    only === undefined
      ? final.revision
      : (group
          .ledger(final.epoch)
          .factsOf(only)
          .findLast((fact) => fact.revision <= final.revision)?.revision ?? 0);
  const fromOrigin = epoch === "" && revision === 0;
  if (epoch !== final.epoch && !fromOrigin) {
    report(
      "G3",
      where,
      `The subscription ends in epoch ${JSON.stringify(epoch)}, the group in epoch ${JSON.stringify(final.epoch)}.`,
    );
    return;
  }
  if (revision < due) {
    report(
      "G3",
      where,
      `The subscription ends at revision ${revision}, although the last change that it follows is ${due}.`,
    );
    return;
  }
  // It may have continued after the listing; a resumed one knows only the changes since.
  if (revision > final.revision || state === undefined) return;
  const wanted = only === undefined ? items : new Map([...items].filter(([item]) => item === only));
  for (const [item, { value }] of wanted) {
    if (state.get(item) === value) continue;
    // It may be older than the window.
    if (window !== undefined && !state.has(item)) continue;
    const has = state.get(item) ?? "nothing";
    report(
      "G3",
      where,
      `The subscription ends with another value of item ${JSON.stringify(item)} than the final listing.`,
      has,
      value,
    );
  }
  for (const [item, value] of state) {
    if (!wanted.has(item))
      report(
        "G3",
        where,
        `The subscription ends with item ${JSON.stringify(item)}, which the final listing lacks.`,
        value,
      );
  }
}

/** The state of this attempt's client; undefined when it dates from before the attempt. */
function fold(subscription: Subscription): {
  state: Map<string, string | undefined> | undefined;
  epoch: string;
  revision: number;
} {
  let state: Map<string, string | undefined> | undefined;
  let epoch = "";
  let revision = 0;
  for (const segment of subscription.segments) {
    ({ epoch, revision } = segment.base);
    if (segment.kind === "sync")
      state = new Map(segment.items.map(({ item, value }) => [item, value]));
    for (const { frame } of segment.steps) {
      if (frame.type === "event") continue;
      ({ epoch, revision } = frame.position);
      if (frame.type === "heartbeat") continue;
      const isOlder = subscription.record.window !== undefined && state?.has(frame.item) === false;
      if (isOlder && frame.change !== "create") continue;
      if (frame.change === "delete") state?.delete(frame.item);
      else state?.set(frame.item, frame.value);
    }
  }
  return { state, epoch, revision };
}
