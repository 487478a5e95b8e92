import type { HeartbeatFrame } from "../history.ts";
import { countUpTo } from "../search.ts";
import { whereOf } from "../trace.ts";
import type { Segment, Step } from "../attempts.ts";
import type { CheckContext } from "./context.ts";

/**
 * A heartbeat at P promises that every matching change up to P was sent before it (G5). With
 * `heartbeatIntervalMs`, frames with a position are never further apart than that, and P is not
 * older than that. (The foresight check verifies that P is not ahead of the group.)
 */
export function checkHeartbeats(context: CheckContext): void {
  for (const { segments } of context.group.subscriptions) {
    for (const segment of segments) {
      if (!segment.complete) continue;
      checkTruth(context, segment);
      if (
        context.settings.heartbeatIntervalMs !== undefined &&
        segment.subscription.record.slow !== true
      ) {
        checkTime(
          context,
          segment,
          context.settings.heartbeatIntervalMs + context.settings.slackMs,
        );
      }
    }
  }
}

function checkTruth({ group, report }: CheckContext, segment: Segment): void {
  const { item } = segment.subscription.record;
  let { epoch, revision: last } = segment.base;
  for (const { frame, index } of segment.steps) {
    if (frame.type === "event") continue;
    const where = whereOf(segment.subscription, index);
    const { position } = frame;
    if (frame.type === "change") {
      epoch = position.epoch;
      last = Math.max(last, position.revision);
      continue;
    }
    const fromOrigin = epoch === "" && last === 0;
    if (position.epoch !== epoch && !fromOrigin) {
      report(
        "G5",
        where,
        `A heartbeat of epoch ${JSON.stringify(position.epoch)} came in a segment of epoch ${JSON.stringify(epoch)}.`,
        frame,
      );
    } else if (item === undefined) {
      if (position.revision > last) {
        report(
          "G5",
          where,
          `A heartbeat promised revision ${position.revision} when only ${last} had arrived.`,
          frame,
        );
      }
    } else {
      const facts = group.ledger(position.epoch).factsOf(item);
      const next = facts[countUpTo(facts, last, (fact) => fact.revision)];
      if (next !== undefined && next.revision <= position.revision) {
        report(
          "G5",
          where,
          `A heartbeat promised revision ${position.revision}, but change ${next.revision} of the item had not arrived.`,
          frame,
        );
      }
    }
  }
}

function checkTime(context: CheckContext, segment: Segment, allowedMs: number): void {
  let last = { t: segment.openedAt, index: segment.frame };
  const checkGap = (until: number): void => {
    if (until - last.t <= allowedMs) return;
    const message = `For ${Math.round(until - last.t)} ms no frame with a position came; at most ${allowedMs} are allowed.`;
    context.report("G5", whereOf(segment.subscription, last.index), message);
  };
  for (const { frame, t, index } of segment.steps) {
    if (frame.type === "event") continue;
    checkGap(t);
    last = { t, index };
    if (frame.type === "heartbeat") checkAge(context, segment, { frame, t, index }, allowedMs);
  }
  const end = Math.min(segment.endsAt, context.group.final?.t ?? Infinity);
  if (end !== Infinity) checkGap(end);
}

/**
 * The store confirms the position of a heartbeat within the interval, so it is not older than that.
 */
function checkAge(
  { group, settings, report }: CheckContext,
  segment: Segment,
  step: Step & { frame: HeartbeatFrame },
  allowedMs: number,
): void {
  const { position } = step.frame;
  for (const ledger of group.ledgers.values()) {
    // A store that may lose all data can return to the origin.
    if (ledger.epoch !== position.epoch && !(position.epoch === "" && settings.durable)) continue;
    const floor = ledger.shown.floorBefore(step.t - allowedMs);
    if (floor === undefined || floor.revision <= position.revision) continue;
    const message = `A heartbeat at revision ${position.revision} came ${Math.round(step.t - floor.t)} ms after revision ${floor.revision} was known; it may be ${allowedMs} ms old.`;
    report("G5", whereOf(segment.subscription, step.index), message, step.frame);
  }
}
