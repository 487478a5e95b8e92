import type { Position } from "../../../src/core/position.ts";
import type { SnapshotItem } from "./history.ts";
import type { FactSource, Ledger, Observation } from "./ledger.ts";
import type { GroupModel } from "./model.ts";
import type { Write, Segment } from "./attempts.ts";
import { whereOf } from "./trace.ts";
import type { Guarantee, Report, Where } from "./violation.ts";

/**
 * Fills the ledgers of a group with everything that any client received, acknowledgements first,
 * and reports where two observations of one revision disagree: a broken order (G2), a snapshot of a
 * state that never was (G3 for a sync, G1 for a read), two timestamps (clock).
 */
export function learnGroup(group: GroupModel, report: Report): void {
  const observe = (ledger: Ledger, what: Observation): void => {
    const { fact, contradiction } = ledger.learn(what);
    if (contradiction === undefined) return;
    const guarantee =
      contradiction.about === "timestamp" ? "clock" : GUARANTEE_OF[what.source.what];
    report(
      guarantee,
      what.source.where,
      `Revision ${what.revision} of epoch ${JSON.stringify(ledger.epoch)} is reported differently by ${name(fact.source)} and by ${name(what.source)}: ${contradiction.text}.`,
      { ...fact, source: fact.source, write: fact.write?.record.id },
      what,
    );
  };
  for (const write of group.writes) learnWrite(group, write, observe, report);
  // Changes before snapshots: if both show a revision, the snapshot is the one to be checked.
  const segments = group.subscriptions.flatMap((subscription) => subscription.segments);
  for (const segment of segments) learnSteps(group, segment, observe);
  for (const segment of segments) learnOpening(group, segment, observe);
  learnReads(group, observe);
}

const GUARANTEE_OF: Readonly<Record<FactSource["what"], Guarantee>> = {
  ack: "G2",
  change: "G2",
  sync: "G3",
  list: "G1",
  get: "G1",
};

type Observe = (ledger: Ledger, observe: Observation) => void;

function learnWrite(group: GroupModel, write: Write, observe: Observe, report: Report): void {
  const { record, answer, end } = write;
  if (write.outcome !== "acked") return;
  const where: Where = { group: group.group, client: record.client };
  const position =
    answer?.position ??
    answer?.results?.findLast((result) => result.position !== undefined)?.position;
  if (position === undefined) {
    if (record.mutations.some(({ op }) => op !== "delete")) {
      report(
        "record",
        where,
        `The write ${record.id} was acknowledged without a position.`,
        record,
      );
    }
    return;
  }
  const ledger = group.ledger(position.epoch);
  // The acknowledgement of a single delete of a missing item has no position, so it proves nothing.
  const evidence = { t: end, revision: position.revision, what: "ack", where } as const;
  ledger.shown.add(evidence);
  ledger.acked.add(evidence);
  record.mutations.forEach(({ op, item, value }, index) => {
    const revision = write.revisions[index];
    if (revision === undefined) return;
    const result = answer?.results?.[index];
    const put = op !== "delete";
    const created = result?.created;
    const type = !put
      ? "delete"
      : created === undefined
        ? undefined
        : created
          ? "create"
          : "update";
    const known = op === "set" ? value : put ? result?.newValue : (result?.oldValue ?? undefined);
    observe(ledger, { revision, item, put, type, value: known, source: { what: "ack", where } });
    const fact = ledger.at(revision);
    if (fact === undefined || fact.item !== item || fact.put !== put) return;
    if (fact.write !== undefined) {
      report(
        "G2",
        where,
        `The writes ${fact.write.record.id} and ${record.id} were both acknowledged at revision ${revision}.`,
      );
    }
    fact.write = write;
    fact.mutation = index;
    fact.trace = "acked";
  });
}

function learnOpening(group: GroupModel, segment: Segment, observe: Observe): void {
  const where = whereOf(segment.subscription, segment.frame);
  const { openedAt: t, base, head } = segment;
  if (segment.kind === "sync") {
    group.ledger(base.epoch).shown.add({ t, revision: base.revision, what: "sync", where });
    learnItems(group, segment.items, base, { what: "sync", where }, observe);
  } else if (head !== undefined) {
    group.ledger(head.epoch).shown.add({ t, revision: head.revision, what: "resumed", where });
  }
}

function learnSteps(group: GroupModel, segment: Segment, observe: Observe): void {
  for (const { frame, t, index } of segment.steps) {
    if (frame.type === "event") continue;
    const { epoch, revision } = frame.position;
    const ledger = group.ledger(epoch);
    const where = whereOf(segment.subscription, index);
    ledger.shown.add({ t, revision, what: frame.type, where });
    if (frame.type === "heartbeat") continue;
    const { change: type, item, value, timestamp } = frame;
    const source: FactSource = { what: "change", where };
    observe(ledger, { revision, item, put: type !== "delete", type, value, timestamp, source });
  }
}

function learnReads(group: GroupModel, observe: Observe): void {
  for (const list of group.lists) {
    const where: Where = { group: group.group, client: list.client };
    for (const { t, position, items } of list.pages) {
      group
        .ledger(position.epoch)
        .shown.add({ t, revision: position.revision, what: "list", where });
      learnItems(group, items, position, { what: "list", where }, observe);
    }
  }
  // A Get names no epoch, so it is usable only if there is just one.
  const ledger = onlyLedger(group);
  if (ledger === undefined) return;
  for (const { found, end, item, client } of group.gets) {
    if (found === undefined) continue;
    const where: Where = { group: group.group, client };
    ledger.shown.add({ t: end, revision: found.revision, what: "get", where });
    observe(ledger, {
      revision: found.revision,
      item,
      put: true,
      value: found.value,
      source: { what: "get", where },
    });
  }
}

function learnItems(
  group: GroupModel,
  items: readonly SnapshotItem[],
  position: Position,
  source: FactSource,
  observe: Observe,
): void {
  const ledger = group.ledger(position.epoch);
  for (const { item, value, revision } of items) {
    // An item ahead of its snapshot is reported with the snapshot; it must not spoil the ledger.
    if (revision === undefined || revision < 1 || revision > position.revision) continue;
    observe(ledger, { revision, item, put: true, value, source });
  }
}

/** The ledger of a group that had only one epoch, the origin aside. */
export function onlyLedger(group: GroupModel): Ledger | undefined {
  const ledgers = [...group.ledgers.values()].filter(
    ({ epoch, shown }) => epoch !== "" && shown.entries().length > 0,
  );
  return ledgers.length === 1 ? ledgers[0] : undefined;
}

function name({ what, where }: FactSource): string {
  const frame = where.frame === undefined ? "" : `, frame ${where.frame}`;
  const client = where.subscription ?? where.client ?? "an unknown client";
  return `${what === "ack" ? "the acknowledgement" : `a ${what}`} of ${client}${frame}`;
}
