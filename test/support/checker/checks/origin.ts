import type { MutationRecord } from "../history.ts";
import type { Fact } from "../ledger.ts";
import type { Write } from "../attempts.ts";
import { listAt } from "../search.ts";
import { isTorn, tagOf, type ValueText } from "../value-text.ts";
import type { CheckContext } from "./context.ts";

/**
 * Every change is the effect of one recorded write (G1): an acknowledged write took effect exactly
 * at its position, a refused one never, an unknown one at most once, and no value is torn.
 *
 * Changes that no acknowledgement explains are matched with writes of unknown outcome, oldest
 * first. The match is recorded in the fact, for later checks.
 */
export function checkOrigin(context: CheckContext): void {
  const { group, settings } = context;
  const open = createCandidates();
  for (const write of [...group.writes].sort((a, b) => a.start - b.start)) {
    if (write.outcome === "refused" || write.placed) continue;
    write.record.mutations.forEach((mutation, index) => open.add(mutation, { write, index }));
  }
  // Older epochs first, so that the oldest writes go to them.
  const knownAt = new Map(
    [...group.ledgers.values()].map((ledger) => [ledger, ledger.shown.entries()[0]?.t ?? 0]),
  );
  const ledgers = [...knownAt.keys()].sort((a, b) => (knownAt.get(a) ?? 0) - (knownAt.get(b) ?? 0));
  const known = writesByLook(group.writes);
  for (const fact of ledgers.flatMap((ledger) => ledger.facts())) {
    checkSeal(context, fact);
    if (fact.write !== undefined) continue;
    const candidate = isRefused(fact, known) ? undefined : open.take(fact);
    if (candidate !== undefined) {
      fact.write = candidate.write;
      fact.mutation = candidate.index;
      fact.trace = candidate.sole ? "sole" : "guess";
    } else if (settings.allWritesRecorded) {
      reportStray(context, fact, known);
    }
  }
}

/** Whether only refused writes had the value of a change. */
function isRefused(
  { item, value, put }: Fact,
  known: ReadonlyMap<string, readonly Write[]>,
): boolean {
  const same = put && value !== undefined ? known.get(valueLook(item, value)) : undefined;
  return same !== undefined && same.every(({ outcome }) => outcome === "refused");
}

interface Candidate {
  readonly write: Write;
  readonly index: number;
}

/** Mutations that may have taken effect, by what their change looks like. */
interface Candidates {
  add(mutation: MutationRecord, candidate: Candidate): void;
  /** Takes the first one that fits. `sole`: no other one ever did, and its value identifies it. */
  take(fact: Fact): (Candidate & { readonly sole: boolean }) | undefined;
}

function createCandidates(): Candidates {
  const queues = new Map<string, Candidate[]>();
  const taken = new Map<string, number>();
  let tagged = false;

  const next = (mutation: MutationRecord): (Candidate & { readonly sole: boolean }) | undefined => {
    const key = lookOf(mutation);
    const queue = queues.get(key) ?? [];
    const count = taken.get(key) ?? 0;
    const candidate = queue[count];
    if (candidate === undefined) return undefined;
    taken.set(key, count + 1);
    // An update without a tag may have kept the tag of the one before.
    const mistakable =
      mutation.op === "update" && queues.has(lookOf({ op: "update", item: mutation.item }));
    return { ...candidate, sole: queue.length === 1 && isTraceable(mutation) && !mistakable };
  };

  return {
    add(mutation, candidate) {
      listAt(queues, lookOf(mutation)).push(candidate);
      tagged ||= mutation.tag !== undefined;
    },
    take({ item, value, put }) {
      if (!put) return next({ op: "delete", item });
      if (value === undefined) return next({ op: "update", item });
      const tag = tagged ? tagOf(value) : undefined;
      return (
        next({ op: "set", item, value }) ??
        (tag === undefined ? undefined : next({ op: "update", item, tag })) ??
        next({ op: "update", item })
      );
    },
  };
}

/** Whether the value of a mutation's change identifies it. */
export function isTraceable({ op, tag }: MutationRecord): boolean {
  return op === "set" || (op === "update" && tag !== undefined);
}

function lookOf({ op, item, value, tag }: MutationRecord): string {
  const name = JSON.stringify(item);
  if (op === "delete") return `delete ${name}`;
  if (op === "set") return valueLook(item, value ?? "");
  return tag === undefined ? `update ${name}` : tagLook(item, tag);
}

function valueLook(item: string, value: ValueText): string {
  return `value ${JSON.stringify(item)} ${value}`;
}

function tagLook(item: string, tag: string): string {
  return `tag ${JSON.stringify(item)} ${tag}`;
}

function writesByLook(writes: readonly Write[]): Map<string, Write[]> {
  const byLook = new Map<string, Write[]>();
  for (const write of writes) {
    for (const { item, value, tag } of write.record.mutations) {
      if (value !== undefined) listAt(byLook, valueLook(item, value)).push(write);
      const anyTag = tag ?? (value === undefined ? undefined : tagOf(value));
      if (anyTag !== undefined) listAt(byLook, tagLook(item, anyTag)).push(write);
    }
  }
  return byLook;
}

/** Reports a change without a write. */
function reportStray(
  { report }: CheckContext,
  fact: Fact,
  known: ReadonlyMap<string, readonly Write[]>,
): void {
  const { item, revision, value, source } = fact;
  const fault = (message: string, ...evidence: unknown[]) =>
    report(
      "G1",
      source.where,
      `Revision ${revision} of item ${JSON.stringify(item)} ${message}`,
      ...evidence,
    );
  if (!fact.put) return fault("is a delete that no client requested.", value ?? "");
  const tag = value === undefined ? undefined : tagOf(value);
  const [same] = (value === undefined ? undefined : known.get(valueLook(item, value))) ?? [];
  const [tagged] = (tag === undefined ? undefined : known.get(tagLook(item, tag))) ?? [];
  const write = same ?? tagged;
  if (write === undefined) return fault("has a value that no client wrote.", value ?? "");
  const { id, mutations } = write.record;
  if (write.outcome === "refused")
    return fault(`is the work of write ${id}, which was refused.`, write.answer?.reason ?? "");
  if (
    same === undefined &&
    mutations.some((mutation) => mutation.value !== undefined && tagOf(mutation.value) === tag)
  ) {
    return fault(`has a torn value: write ${id} wrote another one under this tag.`, value ?? "");
  }
  return fault(
    `is the work of write ${id}, which took effect more than once.`,
    value ?? "",
    write.revisions,
  );
}

function checkSeal({ report }: CheckContext, fact: Fact): void {
  if (fact.value === undefined || !isTorn(fact.value)) return;
  const message = `Revision ${fact.revision} of item ${JSON.stringify(fact.item)} has a torn value.`;
  report("G1", fact.source.where, message, fact.value);
}
