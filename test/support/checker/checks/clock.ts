import { whereOf } from "../trace.ts";
import type { Segment } from "../attempts.ts";
import type { CheckContext } from "./context.ts";

/**
 * Timestamps of a group's events are integers, strictly increasing in revision order and in the
 * order in which a subscription receives them. A sync carries the timestamp of the group's last
 * event: not before that of the change at its position, and before that of the next.
 */
export function checkClock(context: CheckContext): void {
  const { group, report } = context;
  for (const ledger of group.ledgers.values()) {
    let before: { revision: number; timestamp: number } | undefined;
    for (const { revision, timestamp, source } of ledger.facts()) {
      if (timestamp === undefined) continue;
      if (!Number.isSafeInteger(timestamp)) {
        report(
          "clock",
          source.where,
          `Revision ${revision} has timestamp ${timestamp}, which is not an integer.`,
        );
      } else if (before !== undefined && timestamp <= before.timestamp) {
        const message = `Revision ${revision} has timestamp ${timestamp}, not later than ${before.timestamp} of revision ${before.revision}.`;
        report("clock", source.where, message);
      }
      before = { revision, timestamp };
    }
  }
  for (const { segments } of group.subscriptions) {
    for (const segment of segments) if (segment.complete) checkSegment(context, segment);
  }
}

function checkSegment({ group, report }: CheckContext, segment: Segment): void {
  const { base, subscription } = segment;
  let last = segment.timestamp ?? 0;
  if (segment.timestamp !== undefined) {
    const where = whereOf(subscription, segment.frame);
    const ledger = group.ledger(base.epoch);
    const at = ledger.at(base.revision)?.timestamp;
    const next = ledger.at(base.revision + 1)?.timestamp;
    if (at !== undefined && last < at) {
      report(
        "clock",
        where,
        `A sync at revision ${base.revision} has timestamp ${last}, before that of this revision, ${at}.`,
      );
    } else if (next !== undefined && last >= next) {
      report(
        "clock",
        where,
        `A sync at revision ${base.revision} has timestamp ${last}, not before that of the next revision, ${next}.`,
      );
    }
  }
  for (const { frame, index } of segment.steps) {
    if (frame.type === "heartbeat") continue;
    if (frame.timestamp <= last) {
      const message = `A frame with timestamp ${frame.timestamp} came after ${last}.`;
      report("clock", whereOf(subscription, index), message, frame);
    }
    last = Math.max(last, frame.timestamp);
  }
}
