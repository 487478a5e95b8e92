import type { Ledger } from "../ledger.ts";
import { countBelow, countUpTo } from "../search.ts";
import type { Evidence } from "../timeline.ts";
import type { Guarantee } from "../violation.ts";
import type { CheckContext } from "./context.ts";

/**
 * No client sees a revision before the writes up to it were requested: neither by the change itself
 * (G1) nor by a heartbeat (G5). No acknowledgement violates the order of the store (G2): a write
 * that began after another one was acknowledged comes after it. Writes of one pipe take effect in
 * the order sent (G2).
 */
export function checkForesight(context: CheckContext): void {
  const starts = context.group.writes
    .flatMap(({ outcome, start, record }) =>
      outcome === "refused" ? [] : record.mutations.map(() => start),
    )
    .sort((a, b) => a - b);
  for (const ledger of context.group.ledgers.values()) {
    checkLedger(context, ledger, starts);
    checkPipes(context, ledger);
  }
}

function checkLedger(
  { report, settings }: CheckContext,
  ledger: Ledger,
  starts: readonly number[],
): void {
  const facts = ledger.facts();
  // The earliest time at which the group can have reached each known revision, and why.
  let latest = { start: -Infinity, revision: 0 };
  const earliest = facts.map(({ revision, write }) => {
    if (write !== undefined && write.start > latest.start)
      latest = { start: write.start, revision };
    return latest;
  });
  for (const evidence of ledger.shown.entries()) {
    const { t, revision, where } = evidence;
    const known = countUpTo(facts, revision, (fact) => fact.revision);
    const bound = earliest[known - 1];
    if (bound !== undefined && bound.start > t) {
      const own = bound.revision === revision;
      const message = own
        ? `${showed(evidence)} revision ${revision} before its write was requested.`
        : `${showed(evidence)} revision ${revision} before the write of the earlier revision ${bound.revision} was requested.`;
      report(
        GUARANTEE_OF[evidence.what],
        where,
        message,
        `seen at ${t}, requested at ${bound.start}`,
      );
      continue;
    }
    if (!settings.allWritesRecorded) continue;
    const possible = countBelow(starts, t, (start) => start);
    if (revision > possible) {
      const message = `${showed(evidence)} revision ${revision} when only ${possible} changes had been requested.`;
      report(GUARANTEE_OF[evidence.what], where, message, `seen at ${t}`);
    }
  }
}

const GUARANTEE_OF: Readonly<Record<Evidence["what"], Guarantee>> = {
  ack: "G2",
  change: "G1",
  sync: "G1",
  list: "G1",
  get: "G1",
  resumed: "G4",
  heartbeat: "G5",
};

function showed({ what }: Evidence): string {
  return `${what === "ack" ? "An acknowledgement" : `A ${what}`} showed`;
}

function checkPipes({ group, report }: CheckContext, ledger: Ledger): void {
  const lasts = new Map<string, { start: number; revision: number; id: string }>();
  for (const { record, start, revisions, outcome, answer } of group.writes) {
    const { pipe, id, client } = record;
    const first = revisions.find((revision) => revision !== undefined);
    if (pipe === undefined || outcome !== "acked" || first === undefined) continue;
    if (answer?.position?.epoch !== ledger.epoch) continue;
    const last = lasts.get(pipe);
    if (last !== undefined && first < last.revision) {
      const message = `The write ${id} was sent after ${last.id} in one pipe, but took effect before it: at ${first}, not after ${last.revision}.`;
      report("G2", { group: group.group, client }, message);
    }
    lasts.set(pipe, {
      start,
      revision: revisions.findLast((revision) => revision !== undefined) ?? first,
      id,
    });
  }
}
