import type { Claim } from "../claims.ts";
import type { Ledger } from "../ledger.ts";
import type { Evidence } from "../timeline.ts";
import { whereOf } from "../trace.ts";
import type { Guarantee, Where } from "../violation.ts";
import type { CheckContext } from "./context.ts";

/**
 * List and the snapshot of Subscribe include every write acknowledged before the call began (G10),
 * and everything else that any client had received by then: a delivered change is part of the state
 * (G1), and the position of a heartbeat is reached (G5). A write that is missing from the final
 * listing was lost (G6).
 */
export function checkFreshness(context: CheckContext): void {
  for (const claim of context.claims) {
    if (claim.epoch === "") checkOrigin(context, claim);
    else checkClaim(context, claim);
  }
  checkEpochOrder(context);
}

function checkClaim({ group, report }: CheckContext, claim: Claim): void {
  const ledger = group.ledger(claim.epoch);
  const acked = ledger.acked.floorBefore(claim.start);
  const shown = ledger.shown.floorBefore(claim.start);
  const floor = acked !== undefined && acked.revision > claim.revision ? acked : shown;
  if (floor === undefined || floor.revision <= claim.revision) return;
  report(
    guaranteeOf(floor, claim),
    claim.where,
    `A ${claim.what} shows revision ${claim.revision}, but revision ${floor.revision} ${proof(floor)} before the call began.`,
    `seen at ${floor.t}, called at ${claim.start}`,
    floor.where,
  );
}

/** Shown as never written, although it was. Legitimate only for a store that may lose all data. */
function checkOrigin({ group, settings, report }: CheckContext, claim: Claim): void {
  if (!settings.durable) return;
  for (const ledger of group.ledgers.values()) {
    const floor = ledger.epoch === "" ? undefined : highest(ledger, claim.start);
    if (floor === undefined || floor.revision === 0) continue;
    report(
      guaranteeOf(floor, claim),
      claim.where,
      `A ${claim.what} shows the group as never written, but revision ${floor.revision} ${proof(floor)} before the call began.`,
      floor.where,
    );
  }
}

/** The proof of the highest revision before a time: preferably an acknowledgement. */
export function highest(ledger: Ledger, before: number): Evidence | undefined {
  const shown = ledger.shown.floorBefore(before);
  const acked = ledger.acked.floorBefore(before);
  return shown !== undefined && acked?.revision === shown.revision ? acked : shown;
}

function guaranteeOf({ what }: Evidence, { final }: { final: boolean }): Guarantee {
  if (what === "heartbeat") return "G5";
  if (final) return "G6";
  return what === "change" ? "G1" : "G10";
}

function proof({ what }: Evidence): string {
  if (what === "ack") return "was acknowledged";
  if (what === "change") return "was delivered";
  if (what === "heartbeat") return "was promised by a heartbeat";
  return "was shown";
}

interface Call {
  readonly epoch: string;
  readonly start: number;
  readonly end: number;
  readonly where: Where;
}

/** Once a call that began after epoch A was known has shown epoch B, no later call shows A. */
function checkEpochOrder({ group, report }: CheckContext): void {
  const epochs = [...group.ledgers.keys()].filter((epoch) => epoch !== "");
  if (epochs.length < 2) return;
  const calls = callsOf(group).filter(({ epoch }) => epoch !== "");
  for (const older of epochs) {
    const known = group.ledger(older).shown.entries()[0]?.t ?? Infinity;
    let replacedAt = Infinity;
    for (const { epoch, start, end } of calls) {
      if (epoch !== older && start > known) replacedAt = Math.min(replacedAt, end);
    }
    const back = calls.find(({ epoch, start }) => epoch === older && start > replacedAt);
    if (back === undefined) continue;
    report(
      "G10",
      back.where,
      `Epoch ${JSON.stringify(older)} was shown again after another epoch had replaced it.`,
    );
  }
}

function callsOf(group: CheckContext["group"]): readonly Call[] {
  const calls: Call[] = [];
  for (const { record, start, end, answer } of group.writes) {
    const where: Where = { group: group.group, client: record.client };
    if (answer?.position !== undefined)
      calls.push({ epoch: answer.position.epoch, start, end, where });
  }
  for (const { t, pages, client } of group.lists) {
    const where: Where = { group: group.group, client };
    pages.forEach((page, i) =>
      calls.push({ epoch: page.position.epoch, start: pages[i - 1]?.t ?? t, end: page.t, where }),
    );
  }
  for (const { record, segments } of group.subscriptions) {
    for (const { kind, base, openedAt: end, subscription, frame } of segments) {
      if (kind !== "sync") continue;
      calls.push({ epoch: base.epoch, start: record.t, end, where: whereOf(subscription, frame) });
    }
  }
  return calls;
}
