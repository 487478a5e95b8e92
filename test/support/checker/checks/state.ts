import type { Claim } from "../claims.ts";
import type { ListRecord } from "../history.ts";
import type { Fact, Ledger } from "../ledger.ts";
import { isOneSnapshot } from "../model.ts";
import { listAt } from "../search.ts";
import { createReplayedState, type ReplayedState } from "../replayed-state.ts";
import type { Guarantee, Report, Where } from "../violation.ts";
import type { CheckContext } from "./context.ts";

/**
 * The history of each epoch is replayed, and every claim about the state is compared with it:
 *
 * - a sync or a listing at P holds exactly the items that the changes up to P leave, in creation
 *   order, each with its value and revision; no deleted item is back (G3 for a sync, G1 for a
 *   listing, G6 when an acknowledged write is missing at the end);
 * - create, update and delete agree with the state before, and so do `created`, `oldValue` and a
 *   met expectation in an acknowledgement (G1);
 * - a listing whose pages have several positions misses and repeats nothing that existed
 *   throughout.
 *
 * Where revisions are unknown, only what they cannot explain is a fault; the next complete snapshot
 * is the new base.
 */
export function checkState(context: CheckContext): void {
  const claims = new Map<string, Claim[]>();
  for (const claim of context.claims) listAt(claims, claim.epoch).push(claim);
  const listings = new Map<string, ListRecord[]>();
  for (const list of context.group.lists) {
    const epoch = list.pages[0]?.position.epoch;
    if (epoch === undefined || isOneSnapshot(list)) continue;
    if (list.pages.every(({ position }) => position.epoch === epoch))
      listAt(listings, epoch).push(list);
  }
  for (const ledger of context.group.ledgers.values()) {
    checkEpoch(context, ledger, claims.get(ledger.epoch) ?? [], listings.get(ledger.epoch) ?? []);
  }
}

interface Stop {
  readonly revision: number;
  /** Pages start before complete snapshots are compared, and end after. */
  readonly rank: 0 | 1 | 2;
  visit(state: ReplayedState): void;
}

function checkEpoch(
  context: CheckContext,
  ledger: Ledger,
  claims: readonly Claim[],
  listings: readonly ListRecord[],
): void {
  const { report, group } = context;
  const state = createReplayedState(ledger);
  const stops: Stop[] = claims.map((claim) => ({
    revision: claim.revision,
    rank: 1,
    visit: () => checkClaim(claim, state, report),
  }));
  for (const list of listings)
    stops.push(...stopsOfListing(list, { group: group.group, client: list.client }, report));
  stops.sort((a, b) => a.revision - b.revision || a.rank - b.rank);

  const onFact = (fact: Fact): void => checkFact(fact, state, report);
  for (const stop of stops) {
    state.advance(stop.revision, onFact);
    stop.visit(state);
  }
  state.advance(Infinity, onFact);
}

/**
 * Checks a change and its acknowledgement against the state before it. Called before it is applied.
 */
function checkFact(fact: Fact, state: ReplayedState, report: Report): void {
  const { item, revision, type } = fact;
  if (!state.isCertain(item)) return;
  const before = state.item(item);
  const name = JSON.stringify(item);
  const { where } = fact.source;
  if (type === "create" && before !== undefined) {
    report(
      "G1",
      where,
      `Revision ${revision} creates item ${name}, which existed since revision ${before.revision}.`,
      fact.value,
    );
  } else if (type === "update" && before === undefined) {
    report(
      "G1",
      where,
      `Revision ${revision} updates item ${name}, which did not exist.`,
      fact.value,
    );
  } else if (!fact.put && before === undefined) {
    report(
      "G1",
      where,
      `Revision ${revision} deletes item ${name}, which did not exist.`,
      fact.value,
    );
  } else if (!fact.put && differ(fact.value, before?.value)) {
    report(
      "G1",
      where,
      `Revision ${revision} deletes item ${name} with a value that it did not have.`,
      fact.value,
      before?.value,
    );
  }
  const { write, mutation, trace } = fact;
  if (write === undefined || mutation === undefined || trace === "guess") return;
  const by: Where = { group: write.record.group, client: write.record.client };
  const shown = write.answer?.results?.[mutation]?.oldValue;
  if (
    shown !== undefined &&
    ((shown === null) !== (before === undefined) || differ(shown ?? undefined, before?.value))
  ) {
    const message = `The write ${write.record.id} at revision ${revision} returned an old value that item ${name} did not have.`;
    report("G1", by, message, shown ?? "none", before?.value ?? "none");
  }
  const expected = write.record.mutations[mutation]?.expectedRevision;
  // A batch checks all expectations against the group before it, so earlier mutations do not count.
  const own = write.record.mutations.findIndex((other) => other.item === item) === mutation;
  const found = before === undefined ? 0 : before.revision;
  if (own && expected !== undefined && found !== undefined && expected !== found) {
    const message = `The write ${write.record.id} took effect at revision ${revision} although it expected item ${name} at revision ${expected}; it was at ${found}.`;
    report("G1", by, message);
  }
}

function checkClaim(claim: Claim, state: ReplayedState, report: Report): void {
  const { items, revision, scope, where } = claim;
  const only = typeof scope === "object" && "item" in scope ? scope.item : undefined;
  let sound = true;
  const fault = (guarantee: Guarantee, message: string, ...evidence: unknown[]): void => {
    sound = false;
    report(guarantee, where, `A ${claim.what} at revision ${revision} ${message}`, ...evidence);
  };

  const seen = new Set<string>();
  for (const shown of items) {
    const name = JSON.stringify(shown.item);
    if (seen.has(shown.item))
      fault(scope === "page" ? "listing" : guaranteeOf(claim), `has item ${name} twice.`, shown);
    else if (only !== undefined && shown.item !== only)
      fault("G3", `of one item has item ${name}.`, shown);
    seen.add(shown.item);
    const now = state.item(shown.item);
    const last = state.lastChange(shown.item);
    if (shown.revision !== undefined && (shown.revision < 1 || shown.revision > revision)) {
      fault(
        guaranteeOf(claim),
        `has item ${name} at revision ${shown.revision}, which it does not include.`,
        shown,
      );
    } else if ((shown.revision ?? Infinity) < (now?.revision ?? 0)) {
      const message = `has item ${name} at revision ${shown.revision}, but change ${now?.revision} was later: it is stale.`;
      fault(guaranteeOf(claim, last), message, shown, now?.value ?? "");
    } else if (
      now === undefined &&
      (state.isCertain(shown.item) || (shown.revision ?? Infinity) <= state.settledAt(shown.item))
    ) {
      if (last === undefined)
        fault(guaranteeOf(claim), `has item ${name}, which no client had written.`, shown);
      else {
        const gone = last.put
          ? "another snapshot lacked"
          : `was deleted at revision ${last.revision}`;
        fault(guaranteeOf(claim, last), `has item ${name}, which ${gone}: it is back.`, shown);
      }
    } else if (now !== undefined && shown.revision === undefined && state.isCertain(shown.item)) {
      // A value with its revision was compared with the change when the ledger was filled.
      if (differ(shown.value, now.value))
        fault(
          guaranteeOf(claim),
          `has item ${name} with a value that it did not have.`,
          shown,
          now.value,
        );
    }
  }

  if (only !== undefined) return checkAbsent(only);
  if (scope === "page") return;
  const newest = typeof scope === "object" && "window" in scope ? scope.window : Infinity;
  // Which items are the newest is known only if all are.
  if (newest !== Infinity && !state.isExact()) return;
  const expected = [...state.items()].slice(-newest);
  for (const item of expected) checkAbsent(item);
  if (sound && state.isExact() && !sameOrder(expected, items))
    fault(
      "listing",
      "does not have its items in creation order.",
      items.map(({ item }) => item),
      expected,
    );
  if (sound && newest === Infinity) state.rebase(revision, items);

  function checkAbsent(item: string): void {
    const now = state.item(item);
    if (seen.has(item) || now === undefined || !state.isCertain(item)) return;
    const message = `lacks item ${JSON.stringify(item)}, which was written at revision ${now.revision} and not deleted.`;
    fault(guaranteeOf(claim, state.lastChange(item)), message, now.value);
  }
}

/** The claims of a listing whose pages were read at several positions. */
function stopsOfListing(list: ListRecord, where: Where, report: Report): Stop[] {
  const revisions = list.pages.map(({ position }) => position.revision);
  const [from, to] = [Math.min(...revisions), Math.max(...revisions)];
  const counts = new Map<string, number>();
  for (const { items } of list.pages)
    for (const { item } of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  let exactFrom = false;
  let gapsBefore = 0;
  return [
    {
      revision: from,
      rank: 0,
      visit(state) {
        exactFrom = state.isExact();
        gapsBefore = state.lastGap();
      },
    },
    {
      revision: to,
      rank: 2,
      visit(state) {
        if (!exactFrom || state.lastGap() !== gapsBefore) return;
        for (const item of state.items()) {
          if ((state.item(item)?.createdAt ?? Infinity) > from) continue;
          const count = counts.get(item) ?? 0;
          if (count === 1) continue;
          const fault = count === 0 ? "missed" : `shows ${count} times`;
          report(
            "listing",
            where,
            `A listing of several pages ${fault} item ${JSON.stringify(item)}, which existed throughout.`,
            `revisions ${from} to ${to}`,
          );
        }
      },
    },
  ];
}

function guaranteeOf(claim: Claim, missed?: Fact): Guarantee {
  if (claim.what === "sync") return "G3";
  return claim.final && missed?.write?.outcome === "acked" ? "G6" : "G1";
}

function sameOrder(
  expected: Iterable<string>,
  shown: readonly { readonly item: string }[],
): boolean {
  let i = 0;
  for (const item of expected) if (shown[i++]?.item !== item) return false;
  return i === shown.length;
}

function differ(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}
