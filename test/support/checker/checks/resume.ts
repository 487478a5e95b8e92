import { ORIGIN, type Position, samePosition } from "../../../../src/core/position.ts";
import { countUpTo } from "../search.ts";
import { whereOf } from "../trace.ts";
import type { Segment } from "../attempts.ts";
import type { CheckContext } from "./context.ts";

/**
 * A position is either honoured or not (G4): `resumed` names the requested position (inside a
 * subscription, the one it had reached), belongs to the history that follows, and never comes
 * without a request. A fresh sync is always correct, unless the options demand the replay.
 *
 * The order check verifies that nothing is missing or repeated after `resumed`.
 */
export function checkResume(context: CheckContext): void {
  for (const subscription of context.group.subscriptions) {
    let reached: Position | undefined;
    for (const segment of subscription.segments) {
      if (segment.kind === "resumed") {
        checkHead(context, segment);
        if (segment.index === 0) checkAsked(context, segment);
        else if (reached !== undefined) checkContinued(context, segment, reached);
      } else if (segment.index === 0) checkDemanded(context, segment);
      reached = segment.complete ? positionReached(segment) : undefined;
    }
  }
}

function checkAsked({ report }: CheckContext, segment: Segment): void {
  const { resumeFrom } = segment.subscription.record;
  const where = whereOf(segment.subscription, segment.frame);
  if (resumeFrom === undefined) {
    report("G4", where, "The subscription was resumed although it gave no position.", segment.base);
  } else if (!samePosition(resumeFrom, segment.base)) {
    const message = `The subscription asked to resume from ${show(resumeFrom)} and was resumed from ${show(segment.base)}.`;
    report("G4", where, message);
  }
}

function checkHead({ report }: CheckContext, segment: Segment): void {
  const { base, head } = segment;
  if (head === undefined) return;
  const where = whereOf(segment.subscription, segment.frame);
  if (head.epoch !== base.epoch && !samePosition(base, ORIGIN)) {
    report(
      "G4",
      where,
      `Position ${show(base)} was honoured by a history of epoch ${JSON.stringify(head.epoch)}.`,
      head,
    );
  } else if (head.revision < base.revision) {
    report(
      "G4",
      where,
      `Position ${show(base)} was honoured although the group was only at revision ${head.revision}.`,
      head,
    );
  }
}

/** After a dropped queue, a replay continues exactly where the subscription was. */
function checkContinued(
  { group, report }: CheckContext,
  segment: Segment,
  reached: Position,
): void {
  const { base, subscription } = segment;
  if (samePosition(base, reached)) return;
  const { item } = subscription.record;
  const where = whereOf(subscription, segment.frame);
  const had = `The subscription had reached ${show(reached)} and was resumed from ${show(base)}`;
  if (base.epoch !== reached.epoch) return report("G4", where, `${had}: another history.`);
  if (item !== undefined) {
    // For an item, only its changes count: positions without one between them are equivalent.
    const facts = group.ledger(base.epoch).factsOf(item);
    const upTo = (revision: number) => countUpTo(facts, revision, (fact) => fact.revision);
    if (upTo(base.revision) === upTo(reached.revision)) return;
  }
  report(
    "G4",
    where,
    `${had}: ${base.revision < reached.revision ? "changes repeat" : "a silent hole"}.`,
  );
}

/** If the options demand it, a position of the present history is honoured. */
function checkDemanded({ group, settings, report }: CheckContext, segment: Segment): void {
  const { resumeFrom, resumeOptional, t } = segment.subscription.record;
  if (!settings.expectResume || resumeFrom === undefined || resumeOptional === true) return;
  const sameHistory = resumeFrom.epoch === segment.base.epoch || samePosition(resumeFrom, ORIGIN);
  if (!sameHistory) return;
  // Only a position that a client had received must be known to the service.
  const known = group.ledger(segment.base.epoch).shown.floorBefore(t)?.revision ?? 0;
  if (resumeFrom.revision > known) return;
  const message = `The subscription asked to resume from ${show(resumeFrom)}, which the log still holds, and got a fresh sync.`;
  report("G4", whereOf(segment.subscription, segment.frame), message, segment.base);
}

function positionReached(segment: Segment): Position {
  let { epoch, revision } = segment.base;
  for (const { frame } of segment.steps) {
    if (frame.type === "event") continue;
    if (frame.type === "heartbeat" && segment.subscription.record.item === undefined) continue;
    if (frame.position.epoch !== epoch) ({ epoch, revision } = frame.position);
    else revision = Math.max(revision, frame.position.revision);
  }
  return { epoch, revision };
}

function show({ epoch, revision }: Position): string {
  return `${JSON.stringify(epoch)}/${revision}`;
}
