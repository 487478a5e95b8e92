import { checkBatches } from "./checks/batches.ts";
import { checkClock } from "./checks/clock.ts";
import type { CheckContext } from "./checks/context.ts";
import { checkDeltas } from "./checks/deltas.ts";
import { checkDurability } from "./checks/durability.ts";
import { checkEvents } from "./checks/events.ts";
import { checkFinal } from "./checks/final.ts";
import { checkForesight } from "./checks/foresight.ts";
import { checkFreshness } from "./checks/freshness.ts";
import { checkGets } from "./checks/gets.ts";
import { checkHeartbeats } from "./checks/heartbeats.ts";
import { checkOrder } from "./checks/order.ts";
import { checkOrigin } from "./checks/origin.ts";
import { checkResume } from "./checks/resume.ts";
import { checkRevoked } from "./checks/revoked.ts";
import { checkState } from "./checks/state.ts";
import { claimsOf } from "./claims.ts";
import type { History } from "./history.ts";
import { learnGroup } from "./learn.ts";
import { buildModel } from "./model.ts";
import { type CheckOptions, settingsOf } from "./options.ts";
import { traceSubscription } from "./trace.ts";
import { createFindings, type Violation } from "./violation.ts";

/**
 * All checks, in the order in which they run. `origin` comes first: it traces changes to writes.
 */
const CHECKS: readonly (readonly [string, (context: CheckContext) => void])[] = [
  ["origin", checkOrigin],
  ["order", checkOrder],
  ["deltas", checkDeltas],
  ["resume", checkResume],
  ["state", checkState],
  ["heartbeats", checkHeartbeats],
  ["foresight", checkForesight],
  ["freshness", checkFreshness],
  ["gets", checkGets],
  ["batches", checkBatches],
  ["clock", checkClock],
  ["events", checkEvents],
  ["durability", checkDurability],
  ["revoked", checkRevoked],
  ["final", checkFinal],
];

/**
 * Checks a history against the guarantees. Pure: it uses the records only, and knows nothing of how
 * the service works.
 *
 * It reports only what the records prove: every violation is a broken guarantee (or a broken
 * record), whatever else happened unrecorded. No violation means that the records are consistent
 * with the guarantees; the more is recorded (above all: every write, a group subscription that sees
 * every change, a final listing of each group), the stronger that is.
 */
export function check(history: History, options: CheckOptions = {}): Violation[] {
  const settings = settingsOf(options);
  const findings = createFindings(settings.maxPerCheck);
  for (const group of buildModel(history, findings.reportFor("records"))) {
    for (const subscription of group.subscriptions) {
      subscription.segments = traceSubscription(subscription, findings.reportFor("segments"));
    }
    learnGroup(group, findings.reportFor("agreement"));
    const claims = claimsOf(group);
    for (const [name, run] of CHECKS)
      run({ group, claims, settings, report: findings.reportFor(name) });
  }
  return findings.violations();
}
