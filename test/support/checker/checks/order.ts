import type { ChangeFrame } from "../history.ts";
import type { Ledger } from "../ledger.ts";
import { countUpTo } from "../search.ts";
import { whereOf } from "../trace.ts";
import type { Segment } from "../attempts.ts";
import type { CheckContext } from "./context.ts";

/** Most missing revisions kept per segment, to distinguish a late change from a repeated one. */
const MAX_MISSED = 10_000;

/**
 * Within a segment, every later change arrives exactly once, in revision order, in one epoch, and
 * matches the subscription (G2, G3). For a group, that means contiguous revisions; for an item,
 * every recorded change of it. A later segment of the same subscription does not go back behind
 * what was received.
 */
export function checkOrder(context: CheckContext): void {
  for (const { segments } of context.group.subscriptions) {
    let before: { epoch: string; revision: number } | undefined;
    for (const segment of segments) {
      const { base, kind, frame, subscription } = segment;
      if (
        before !== undefined &&
        kind === "sync" &&
        before.epoch === base.epoch &&
        base.revision < before.revision
      ) {
        const message = `A fresh sync at revision ${base.revision} goes back behind revision ${before.revision}, which this subscription had received.`;
        context.report("G3", whereOf(subscription, frame), message, base);
      }
      before = segment.complete ? checkSegment(context, segment) : undefined;
    }
  }
}

/** Checks one segment. Returns the position that it reached. */
function checkSegment(
  { group, report }: CheckContext,
  segment: Segment,
): { epoch: string; revision: number } {
  const { item } = segment.subscription.record;
  let { epoch, revision: last } = segment.base;
  const missed = new Set<number>();

  for (const { frame, index } of segment.steps) {
    if (frame.type !== "change") continue;
    const where = whereOf(segment.subscription, index);
    const { revision } = frame.position;
    if (frame.position.epoch !== epoch) {
      // The first write to a group creates its epoch; there is no history before it to lose.
      if (epoch !== "" || last !== 0) {
        const message = `The epoch changed from ${JSON.stringify(epoch)} to ${JSON.stringify(frame.position.epoch)} without a new sync.`;
        report("G3", where, message, frame);
        last = revision - 1;
      }
      epoch = frame.position.epoch;
    }
    if (item !== undefined && frame.item !== item) {
      report(
        "G3",
        where,
        `A change of item ${JSON.stringify(frame.item)} came to a subscription of item ${JSON.stringify(item)}.`,
        frame,
      );
      continue;
    }
    if (revision <= last) {
      if (missed.delete(revision))
        report(
          "G2",
          where,
          `Revision ${revision} came after revision ${last}: out of order.`,
          frame,
        );
      else
        report(
          "G3",
          where,
          `Revision ${revision} came again, or was part of the state before; the segment had reached ${last}.`,
          frame,
        );
      continue;
    }
    const skipped =
      item === undefined
        ? skippedOfGroup(last, revision)
        : skippedOfItem(group.ledger(epoch), frame, last);
    if (skipped.length > 0) {
      for (const gone of skipped) missed.add(gone);
      const what =
        skipped.length === 1
          ? `revision ${skipped[0]} is`
          : `revisions ${skipped[0]} to ${skipped.at(-1)} are`;
      report(
        "G3",
        where,
        `After revision ${last} came revision ${revision}: ${what} missing.`,
        frame,
      );
    }
    last = revision;
  }
  return { epoch, revision: last };
}

function skippedOfGroup(last: number, revision: number): readonly number[] {
  if (revision === last + 1) return [];
  const count = Math.min(revision - last - 1, MAX_MISSED);
  const skipped = Array.from({ length: count }, (_, i) => last + 1 + i);
  skipped[count - 1] = revision - 1;
  return skipped;
}

function skippedOfItem(ledger: Ledger, frame: ChangeFrame, last: number): readonly number[] {
  const facts = ledger.factsOf(frame.item);
  const skipped: number[] = [];
  for (let i = countUpTo(facts, last, (fact) => fact.revision); i < facts.length; i++) {
    const fact = facts[i];
    if (
      fact === undefined ||
      fact.revision >= frame.position.revision ||
      skipped.length === MAX_MISSED
    )
      break;
    skipped.push(fact.revision);
  }
  return skipped;
}
