import { countUpTo, listAt } from "./search.ts";
import { createTimeline, type Timeline } from "./timeline.ts";
import type { Where } from "./violation.ts";
import type { ValueText } from "./value-text.ts";
import type { Write } from "./attempts.ts";

/** What is known of one change: one revision of one epoch. */
export interface Fact {
  readonly revision: number;
  readonly item: string;
  readonly put: boolean;
  /** Its type, by a subscriber or an acknowledgement. */
  type: "create" | "update" | "delete" | undefined;
  /** The new value; for a delete, the removed one. Undefined until it is observed. */
  value: ValueText | undefined;
  timestamp: number | undefined;
  /** The first observation. */
  readonly source: FactSource;
  /** The write that caused it, if it could be traced, with the index of the mutation. */
  write: Write | undefined;
  mutation: number | undefined;
  /** How certain that is: acknowledged, the only write that fits, or one of several that fit. */
  trace: "acked" | "sole" | "guess" | undefined;
}

/** The origin of an observation. */
export interface FactSource {
  readonly what: "ack" | "change" | "sync" | "list" | "get";
  readonly where: Where;
}

/** A change as a client observed it. */
export interface Observation {
  readonly revision: number;
  readonly item: string;
  readonly put: boolean;
  readonly type?: Fact["type"];
  readonly value?: ValueText | undefined;
  readonly timestamp?: number | undefined;
  readonly source: FactSource;
}

/** A disagreement of two observations of one change. */
export interface Contradiction {
  readonly about: "change" | "timestamp";
  /** "the fact on record and the observation". */
  readonly text: string;
}

/**
 * The history of one group in one epoch, built from all observations. Learn first, then query: a
 * query after more observations sorts again.
 */
export interface Ledger {
  readonly epoch: string;
  /** All proofs of how far the epoch had progressed, and when. */
  readonly shown: Timeline;
  /** The part of it that acknowledgements prove. */
  readonly acked: Timeline;
  /**
   * Adds an observation.
   *
   * @returns The fact on record, and the contradiction, if any; then the fact is left unchanged.
   */
  learn(shown: Observation): { fact: Fact; contradiction: Contradiction | undefined };
  at(revision: number): Fact | undefined;
  /** All facts by revision. */
  facts(): readonly Fact[];
  /** All facts about one item by revision. */
  factsOf(item: string): readonly Fact[];
  /** Whether every revision in (after, upTo] is known. */
  isComplete(after: number, upTo: number): boolean;
}

/** Creates an empty ledger. */
export function createLedger(epoch: string): Ledger {
  const known = new Map<number, Fact>();
  let sorted: Fact[] | undefined;
  let items: Map<string, Fact[]> | undefined;

  const facts = () => (sorted ??= [...known.values()].sort((a, b) => a.revision - b.revision));

  return {
    epoch,
    shown: createTimeline(),
    acked: createTimeline(),
    learn(shown) {
      const fact = known.get(shown.revision);
      if (fact !== undefined) return { fact, contradiction: merge(fact, shown) };
      const { revision, item, put, type, value, timestamp, source } = shown;
      const fresh: Fact = {
        ...{ revision, item, put, type, value, timestamp, source },
        ...{ write: undefined, mutation: undefined, trace: undefined },
      };
      known.set(revision, fresh);
      sorted = undefined;
      items = undefined;
      return { fact: fresh, contradiction: undefined };
    },
    at: (revision) => known.get(revision),
    facts,
    factsOf(item) {
      if (items === undefined) {
        items = new Map();
        for (const fact of facts()) listAt(items, fact.item).push(fact);
      }
      return items.get(item) ?? [];
    },
    isComplete(after, upTo) {
      const revisionOf = (fact: Fact) => fact.revision;
      return (
        countUpTo(facts(), upTo, revisionOf) - countUpTo(facts(), after, revisionOf) ===
        upTo - after
      );
    },
  };
}

/** Adds what is new in `shown` to the fact; returns a contradiction. */
function merge(fact: Fact, shown: Observation): Contradiction | undefined {
  const text = difference(fact, shown);
  if (text !== undefined) return { about: "change", text };
  if (differs(fact.timestamp, shown.timestamp)) {
    return {
      about: "timestamp",
      text: `timestamp ${fact.timestamp} and timestamp ${shown.timestamp}`,
    };
  }
  fact.type ??= shown.type;
  fact.value ??= shown.value;
  fact.timestamp ??= shown.timestamp;
  return undefined;
}

function difference(fact: Fact, shown: Observation): string | undefined {
  if (fact.item !== shown.item)
    return `item ${JSON.stringify(fact.item)} and item ${JSON.stringify(shown.item)}`;
  if (fact.put !== shown.put) return fact.put ? "a value and a delete" : "a delete and a value";
  if (differs(fact.type, shown.type)) return `${fact.type} and ${shown.type}`;
  if (differs(fact.value, shown.value)) return `value ${fact.value} and value ${shown.value}`;
  return undefined;
}

function differs<T>(a: T | undefined, b: T | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}
