import type { Fact, Ledger } from "../ledger.ts";
import { onlyLedger } from "../learn.ts";
import type { GroupModel } from "../model.ts";
import { countUpTo } from "../search.ts";
import type { Evidence } from "../timeline.ts";
import type { Guarantee, Where } from "../violation.ts";
import type { CheckContext } from "./context.ts";
import { highest } from "./freshness.ts";

/** A read of one item that carries no position. */
interface Read {
  readonly what: "Get" | "Delete";
  readonly item: string;
  readonly start: number;
  /** Revision of the item; undefined: it was missing. */
  readonly revision: number | undefined;
  readonly where: Where;
}

/**
 * A Get, and a Delete that found nothing, carry no position, so they are compared with the changes
 * of the item: they include every change acknowledged (G10) or delivered (G1) before the call
 * began.
 */
export function checkGets({ group, settings, report }: CheckContext): void {
  const ledger = onlyLedger(group);
  if (ledger === undefined) return;
  let unseen: ReadonlySet<string> | undefined;

  for (const read of readsOf(group)) {
    const floor = highest(ledger, read.start);
    const facts = ledger.factsOf(read.item);
    const count =
      floor === undefined ? 0 : countUpTo(facts, floor.revision, (fact) => fact.revision);
    const last = facts[count - 1];
    if (floor === undefined || last === undefined) continue;
    const name = JSON.stringify(read.item);
    const evidence = `revision ${floor.revision} was known at ${floor.t}, the call began at ${read.start}`;
    if (read.revision !== undefined) {
      if (last.revision <= read.revision) continue;
      const what = last.put ? "had a later value" : "had been deleted";
      const message = `A ${read.what} of item ${name} shows revision ${read.revision}, but the item ${what} at revision ${last.revision} before the call began.`;
      report(guaranteeOf(ledger, read, last, floor), read.where, message, evidence);
    } else if (last.put && settings.durable) {
      // A store that may lose all data can lose it unnoticed, without a later write or read.
      if (facts.slice(count).some((fact) => !fact.put)) continue;
      unseen ??= unseenDeletes(group);
      const complete = ledger.isComplete(last.revision, ledger.facts().at(-1)?.revision ?? 0);
      if (!complete || unseen.has(read.item)) continue;
      const message = `A ${read.what} of item ${name} found nothing, but it was written at revision ${last.revision} before the call began and not deleted since.`;
      report(guaranteeOf(ledger, read, last, floor), read.where, message, evidence);
    }
  }
}

function readsOf(group: GroupModel): readonly Read[] {
  const reads = group.gets.map(({ item, t, found, client }): Read => {
    return {
      what: "Get",
      item,
      start: t,
      revision: found?.revision,
      where: { group: group.group, client },
    };
  });
  for (const { record, start, placed, outcome, revisions } of group.writes) {
    if (outcome !== "acked" || !placed) continue;
    record.mutations.forEach(({ op, item }, i) => {
      if (op !== "delete" || revisions[i] !== undefined) return;
      reads.push({
        what: "Delete",
        item,
        start,
        revision: undefined,
        where: { group: group.group, client: record.client },
      });
    });
  }
  return reads;
}

function guaranteeOf(ledger: Ledger, read: Read, last: Fact, floor: Evidence): Guarantee {
  const acked = ledger.acked.floorBefore(read.start);
  if (acked !== undefined && acked.revision >= last.revision) return "G10";
  return floor.what === "change" ? "G1" : "G10";
}

/** Items with a delete that may have taken effect unrecorded. */
function unseenDeletes(group: GroupModel): ReadonlySet<string> {
  const open = group.writes.filter(
    ({ outcome, placed }) => outcome === "unknown" || (outcome === "acked" && !placed),
  );
  const deletes = open.flatMap(({ record }) =>
    record.mutations.filter(({ op }) => op === "delete"),
  );
  return new Set(deletes.map(({ item }) => item));
}
