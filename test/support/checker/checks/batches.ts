import type { Claim } from "../claims.ts";
import type { Fact, Ledger } from "../ledger.ts";
import type { Write } from "../model.ts";
import { whereOf } from "../trace.ts";
import type { Where } from "../violation.ts";
import type { CheckContext } from "./context.ts";

/** The revisions that one batch took. */
interface Span {
  readonly first: number;
  readonly last: number;
  readonly id: string;
}

/**
 * A batch is one step (G1): its changes take consecutive revisions in its order, all of them or none,
 * nothing comes between them on a subscription, and nobody is shown a position in the midst of it. (A
 * subscriber that had received a part may go on from there.)
 */
export function checkBatches(context: CheckContext): void {
  for (const ledger of context.group.ledgers.values()) {
    const spans = spansOf(context, ledger);
    if (spans.length === 0) continue;
    // For each revision in the midst of a batch, the batch.
    const inside = new Map<number, Span>();
    for (const span of spans)
      for (let revision = span.first; revision < span.last; revision++) inside.set(revision, span);
    checkPositions(context, ledger, inside);
    checkDelivery(context, ledger, inside);
  }
}

function spansOf(context: CheckContext, ledger: Ledger): readonly Span[] {
  const changes = new Map<Write, { fact: Fact; index: number }[]>();
  for (const fact of ledger.facts()) {
    const { write, mutation: index } = fact;
    if (write === undefined || index === undefined || write.record.mutations.length < 2) continue;
    const list = changes.get(write);
    if (list === undefined) changes.set(write, [{ fact, index }]);
    else list.push({ fact, index });
  }
  const spans: Span[] = [];
  for (const [write, parts] of changes) {
    const first = parts[0]?.fact.revision ?? 0;
    const last = parts.at(-1)?.fact.revision ?? 0;
    if (checkParts(context, ledger, write, parts)) spans.push({ first, last, id: write.record.id });
  }
  return spans;
}

/** Parts come by revision. Returns whether they make one whole. */
function checkParts(
  { group, report }: CheckContext,
  ledger: Ledger,
  write: Write,
  parts: readonly { fact: Fact; index: number }[],
): boolean {
  const { id, client, mutations } = write.record;
  const where: Where = { group: group.group, client };
  const first = parts[0]?.fact.revision ?? 0;
  const last = parts.at(-1)?.fact.revision ?? 0;
  const revisions = parts.map(({ fact }) => fact.revision);
  if (parts.some(({ index }, i) => i > 0 && index <= (parts[i - 1]?.index ?? -1))) {
    report(
      "G1",
      where,
      `The changes of batch ${id} are not in its order.`,
      parts.map(({ index }) => index),
    );
    return false;
  }
  const between = last - first + 1 - parts.length;
  if (between > 0 && ledger.isComplete(first, last)) {
    report("G1", where, `Other changes come between those of batch ${id}.`, revisions);
    return false;
  }
  // Deletes of missing items take no revision; every other mutation takes one.
  const needed = mutations
    .map((_, index) => index)
    .filter((index) => mutations[index]?.op !== "delete");
  const missing = needed.filter((index) => !parts.some((part) => part.index === index));
  if (missing.length === 0) return true;
  // Revisions that nobody saw may be the missing ones, if they lie where those would be.
  const upTo = Math.max(ledger.facts().at(-1)?.revision ?? 0, finalRevision(group.final, ledger));
  const from = Math.max(0, first - mutations.length);
  if (!ledger.isComplete(from, Math.min(upTo, last + mutations.length))) return false;
  if (
    write.outcome === "unknown" &&
    upTo < last + missing.length &&
    finalRevision(group.final, ledger) === 0
  )
    return false;
  report(
    "G1",
    where,
    `Only a part of batch ${id} took effect: mutations ${missing.join(", ")} are missing.`,
    revisions,
  );
  return false;
}

function finalRevision(final: CheckContext["group"]["final"], ledger: Ledger): number {
  const position = final?.pages[0]?.position;
  return position !== undefined && position.epoch === ledger.epoch ? position.revision : 0;
}

function checkPositions(
  { group, claims, report }: CheckContext,
  ledger: Ledger,
  inside: ReadonlyMap<number, Span>,
): void {
  const tell = (what: string, revision: number, where: Where): void => {
    const span = inside.get(revision);
    if (span === undefined) return;
    report(
      "G1",
      where,
      `A ${what} is at revision ${revision}, in the midst of batch ${span.id}.`,
      span,
    );
  };
  for (const { epoch, revision, what, where } of claims as readonly Claim[]) {
    if (epoch === ledger.epoch) tell(what, revision, where);
  }
  for (const { segments } of group.subscriptions) {
    for (const { head, subscription, frame, steps } of segments) {
      if (head?.epoch === ledger.epoch)
        tell("replay's head", head.revision, whereOf(subscription, frame));
      for (const step of steps) {
        if (step.frame.type !== "heartbeat" || step.frame.position.epoch !== ledger.epoch) continue;
        tell("heartbeat", step.frame.position.revision, whereOf(subscription, step.index));
      }
    }
  }
}

/** Between two changes of a batch nothing else comes, a transient event neither. */
function checkDelivery(
  { group, report }: CheckContext,
  ledger: Ledger,
  inside: ReadonlyMap<number, Span>,
): void {
  for (const { segments, record } of group.subscriptions) {
    for (const { steps, subscription } of segments) {
      let last: number | undefined;
      for (let i = 0; i < steps.length; i++) {
        const step = steps[i];
        if (step?.frame.type === "change")
          last =
            step.frame.position.epoch === ledger.epoch ? step.frame.position.revision : undefined;
        if (step?.frame.type !== "event" || last === undefined) continue;
        const span = inside.get(last);
        const next = steps.slice(i + 1).find(({ frame }) => frame.type === "change")?.frame;
        if (span === undefined || next?.type !== "change" || next.position.revision > span.last)
          continue;
        if (record.item !== undefined && next.item !== record.item) continue;
        report(
          "G1",
          whereOf(subscription, step.index),
          `A transient event came in the midst of batch ${span.id}.`,
          step.frame,
          span,
        );
      }
    }
  }
}
