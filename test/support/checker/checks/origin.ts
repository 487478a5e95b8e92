import type { MutationRecord } from "../history.ts";
import type { Fact } from "../ledger.ts";
import type { Write } from "../model.ts";
import { listAt } from "../search.ts";
import { isTorn, tagOf, type ValueText } from "../value-text.ts";
import type { CheckContext } from "./context.ts";

/**
 * Every change is the work of one write that was asked for (G1): an acknowledged write took effect
 * exactly at its position, a refused one never, an unknown one at most once, and no value is torn.
 *
 * Changes that no acknowledgement explains are matched with writes of unknown outcome, oldest first.
 * The match is noted in the fact, for the checks that come after.
 */
export function checkOrigin(context: CheckContext): void {
  const { group, settings } = context;
  const open = new Candidates();
  for (const write of group.writes) {
    if (write.outcome === "refused" || write.placed) continue;
    write.record.mutations.forEach((mutation, index) =>
      open.add(keyOf(mutation), { write, index }),
    );
  }
  let told: Map<string, Write[]> | undefined;
  for (const ledger of group.ledgers.values()) {
    for (const fact of ledger.facts()) {
      checkSeal(context, fact);
      if (fact.write !== undefined) continue;
      const candidate = open.take(fact);
      if (candidate !== undefined) {
        fact.write = candidate.write;
        fact.mutation = candidate.index;
      } else if (settings.allWritesRecorded) {
        told ??= writesByKey(group.writes);
        reportStray(context, fact, told);
      }
    }
  }
}

interface Candidate {
  readonly write: Write;
  readonly index: number;
}

/** Mutations that may have taken effect, by what they would look like, oldest first. */
class Candidates {
  readonly #queues = new Map<string, Candidate[]>();
  readonly #taken = new Map<string, number>();
  #tagged = false;

  add(key: string, candidate: Candidate): void {
    listAt(this.#queues, key).push(candidate);
    this.#tagged ||= key.startsWith("tag ");
  }

  take(fact: Fact): Candidate | undefined {
    const { item, value, put } = fact;
    if (!put) return this.#next(keyOf({ op: "delete", item }));
    const tag = value === undefined || !this.#tagged ? undefined : tagOf(value);
    return (
      (value === undefined ? undefined : this.#next(keyOf({ op: "set", item, value }))) ??
      (tag === undefined ? undefined : this.#next(keyOf({ op: "update", item, tag }))) ??
      this.#next(keyOf({ op: "update", item }))
    );
  }

  #next(key: string): Candidate | undefined {
    const queue = this.#queues.get(key);
    if (queue === undefined) return undefined;
    const taken = this.#taken.get(key) ?? 0;
    this.#taken.set(key, taken + 1);
    return queue[taken];
  }
}

function keyOf({ op, item, value, tag }: MutationRecord): string {
  const name = JSON.stringify(item);
  if (op === "delete") return `delete ${name}`;
  if (op === "set") return `set ${name} ${value}`;
  return tag === undefined ? `update ${name}` : `tag ${name} ${tag}`;
}

function writesByKey(writes: readonly Write[]): Map<string, Write[]> {
  const byKey = new Map<string, Write[]>();
  for (const write of writes) {
    for (const { item, value, tag } of write.record.mutations) {
      if (value !== undefined) {
        listAt(byKey, strayKey(item, value)).push(write);
        const ownTag = tagOf(value);
        if (ownTag !== undefined) listAt(byKey, strayTag(item, ownTag)).push(write);
      }
      if (tag !== undefined) listAt(byKey, strayTag(item, tag)).push(write);
    }
  }
  return byKey;
}

/** A change without a write: says how it looks. */
function reportStray({ report }: CheckContext, fact: Fact, told: Map<string, Write[]>): void {
  const { item, revision, value, source } = fact;
  const say = (message: string, ...evidence: unknown[]) =>
    report(
      "G1",
      source.where,
      `Revision ${revision} of item ${JSON.stringify(item)} ${message}`,
      ...evidence,
    );
  if (!fact.put) return say("is a delete that nobody asked for.", value);
  const tag = value === undefined ? undefined : tagOf(value);
  const same = value === undefined ? [] : (told.get(strayKey(item, value)) ?? []);
  const tagged = tag === undefined ? [] : (told.get(strayTag(item, tag)) ?? []);
  const write = same[0] ?? tagged[0];
  if (write === undefined) return say("has a value that nobody wrote.", value);
  const { id } = write.record;
  if (write.outcome === "refused")
    return say(`is the work of write ${id}, which was refused.`, value, write.answer?.reason);
  if (
    same.length === 0 &&
    write.record.mutations.some(
      (mutation) => mutation.value !== undefined && tagOf(mutation.value) === tag,
    )
  ) {
    return say(`has a torn value: write ${id} wrote another one under this tag.`, value);
  }
  return say(
    `is the work of write ${id}, which took effect more than once.`,
    value,
    write.revisions,
  );
}

function strayKey(item: string, value: ValueText): string {
  return `value ${JSON.stringify(item)} ${value}`;
}

function strayTag(item: string, tag: string): string {
  return `tag ${JSON.stringify(item)} ${tag}`;
}

function checkSeal({ report }: CheckContext, fact: Fact): void {
  if (fact.value === undefined || !isTorn(fact.value)) return;
  const message = `Revision ${fact.revision} of item ${JSON.stringify(fact.item)} has a torn value.`;
  report("G1", fact.source.where, message, fact.value);
}
