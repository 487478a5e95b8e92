import type { Fact, Ledger } from "../ledger.ts";
import type { Write, Segment } from "../attempts.ts";
import { listAt } from "../search.ts";
import { whereOf } from "../trace.ts";
import type { Where } from "../violation.ts";
import type { CheckContext } from "./context.ts";
import { isTraceable } from "./origin.ts";

/** The revisions that one batch took, as far as they are certain. */
interface Span {
  readonly first: number;
  readonly last: number;
  readonly id: string;
}

/**
 * A batch is atomic (G1): its changes take consecutive revisions in its order, all of them or none;
 * no other frame comes between them on a subscription, and no client sees a position inside it. (A
 * subscriber that had received a part may resume from there.)
 */
export function checkBatches(context: CheckContext): void {
  for (const ledger of context.group.ledgers.values()) {
    const spans = spansOf(context, ledger);
    if (spans.length === 0) continue;
    // Each revision inside a batch -> the batch.
    const inside = new Map<number, Span>();
    for (const span of spans) {
      for (let revision = span.first; revision < span.last; revision++) inside.set(revision, span);
    }
    checkPositions(context, ledger, inside);
    for (const { segments } of context.group.subscriptions) {
      for (const segment of segments) checkDelivery(context, segment, ledger.epoch, inside);
    }
  }
}

/** Finds the changes of each batch and checks that they are consecutive. */
function spansOf(context: CheckContext, ledger: Ledger): readonly Span[] {
  const changes = new Map<Write, Fact[]>();
  for (const fact of ledger.facts()) {
    const { write, trace } = fact;
    if (write === undefined || trace === "guess" || write.record.mutations.length < 2) continue;
    listAt(changes, write).push(fact);
  }
  const spans: Span[] = [];
  for (const [write, parts] of changes) {
    const [first, last] = [parts[0]?.revision ?? 0, parts.at(-1)?.revision ?? 0];
    const { id, client } = write.record;
    const problem = problemOf(context, ledger, write, parts, first, last);
    if (problem === undefined) spans.push({ first, last, id });
    else
      context.report(
        "G1",
        { group: context.group.group, client },
        problem,
        `revisions ${parts.map(({ revision }) => revision).join(", ")}`,
      );
  }
  return spans;
}

function problemOf(
  { group }: CheckContext,
  ledger: Ledger,
  write: Write,
  parts: readonly Fact[],
  first: number,
  last: number,
): string | undefined {
  const { id, mutations } = write.record;
  const indexes = parts.map((fact) => fact.mutation ?? 0);
  if (indexes.some((index, i) => i > 0 && index <= (indexes[i - 1] ?? 0))) {
    return `The changes of batch ${id} are not in its order.`;
  }
  if (write.placed) {
    return parts.length === last - first + 1
      ? undefined
      : `Other changes come between those of batch ${id}.`;
  }
  // Of an unknown batch, only changes with a unique value are certain; deletes may lie between
  // them.
  const firstIndex = indexes[0] ?? 0;
  const lastIndex = indexes.at(-1) ?? 0;
  for (let revision = first + 1; revision < last; revision++) {
    const fact = ledger.at(revision);
    if (fact === undefined || fact.write === write) continue;
    const fits = mutations
      .slice(firstIndex, lastIndex)
      .some(
        (mutation) =>
          !isTraceable(mutation) &&
          mutation.item === fact.item &&
          (mutation.op !== "delete") === fact.put,
      );
    if (!fits) return `Revision ${revision} of another write comes between those of batch ${id}.`;
  }
  if (last - first > lastIndex - firstIndex)
    return `Other changes come between those of batch ${id}.`;
  const from = Math.max(1, first - firstIndex);
  const upTo = last + mutations.length - 1 - lastIndex;
  const missing = mutations.findIndex((mutation, index) => {
    if (!isTraceable(mutation) || indexes.includes(index)) return false;
    // A change of the item whose write is uncertain may be the missing one.
    return !ledger
      .factsOf(mutation.item)
      .some(({ trace, revision }) => trace === "guess" && revision >= from && revision <= upTo);
  });
  if (missing === -1) return undefined;
  // So may an unrecorded revision in the right place.
  const [final] = group.final?.pages ?? [];
  const end = final?.position.epoch === ledger.epoch ? final.position.revision : undefined;
  if (!ledger.isComplete(from - 1, Math.min(upTo, end ?? upTo))) return undefined;
  return `Only a part of batch ${id} took effect: its mutation ${missing} is missing.`;
}

/** No client sees a position inside a batch. */
function checkPositions(
  { group, claims, report }: CheckContext,
  ledger: Ledger,
  inside: ReadonlyMap<number, Span>,
): void {
  const check = (
    what: string,
    position: { epoch: string; revision: number } | undefined,
    where: Where,
  ): void => {
    const span = position?.epoch === ledger.epoch ? inside.get(position.revision) : undefined;
    if (span === undefined) return;
    report(
      "G1",
      where,
      `A ${what} is at revision ${position?.revision}, inside batch ${span.id}.`,
      span,
    );
  };
  for (const claim of claims) check(claim.what, claim, claim.where);
  for (const { segments } of group.subscriptions) {
    for (const { head, subscription, frame, steps } of segments) {
      check("replay's head", head, whereOf(subscription, frame));
      for (const step of steps) {
        if (step.frame.type === "heartbeat")
          check("heartbeat", step.frame.position, whereOf(subscription, step.index));
      }
    }
  }
}

/** No other frame comes between two changes of a batch, not even a transient event. */
function checkDelivery(
  { report }: CheckContext,
  segment: Segment,
  epoch: string,
  inside: ReadonlyMap<number, Span>,
): void {
  let open: Span | undefined;
  let between: number | undefined;
  for (const { frame, index } of segment.steps) {
    if (frame.type === "event") between ??= index;
    if (frame.type !== "change") continue;
    const { revision } = frame.position;
    if (open !== undefined && between !== undefined && revision <= open.last) {
      report(
        "G1",
        whereOf(segment.subscription, between),
        `A transient event came inside batch ${open.id}.`,
        open,
      );
    }
    open = frame.position.epoch === epoch ? inside.get(revision) : undefined;
    between = undefined;
  }
}
