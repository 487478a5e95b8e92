import { countUpTo, listAt } from "./search.ts";
import { createTimeline, type Timeline } from "./timeline.ts";
import type { Where } from "./violation.ts";
import type { ValueText } from "./value-text.ts";
import type { Write } from "./model.ts";

/** What is known of one change: one revision of one epoch. */
export interface Fact {
  readonly revision: number;
  readonly item: string;
  readonly put: boolean;
  /** What a subscriber or an acknowledgement called it. */
  type: "create" | "update" | "delete" | undefined;
  /** The new value; for a delete, the removed one. Undefined as long as nobody told it. */
  value: ValueText | undefined;
  timestamp: number | undefined;
  /** Who told it first. */
  readonly source: FactSource;
  /** The write that made it, if it could be traced, with the index of the mutation. */
  write: Write | undefined;
  mutation: number | undefined;
  /** How sure that is: told by the acknowledgement, the only write that fits, or one of several that do. */
  trace: "acked" | "sole" | "guess" | undefined;
}

/** Who told a fact. */
export interface FactSource {
  readonly what: "ack" | "change" | "sync" | "list" | "get";
  readonly where: Where;
}

/** A fact as it is told. */
export interface Told {
  readonly revision: number;
  readonly item: string;
  readonly put: boolean;
  readonly type?: Fact["type"];
  readonly value?: ValueText | undefined;
  readonly timestamp?: number | undefined;
  readonly source: FactSource;
}

/** What two accounts of one change disagree about. */
export interface Contradiction {
  readonly about: "change" | "timestamp";
  /** "what the record says and what was told". */
  readonly text: string;
}

/**
 * The history of one group in one epoch, put together from everything that anybody was told.
 * Learn first, then ask; learning anew re-sorts.
 */
export interface Ledger {
  readonly epoch: string;
  /** Everything that proves how far the epoch had come, and when. */
  readonly shown: Timeline;
  /** The part of it that acknowledgements prove. */
  readonly acked: Timeline;
  /**
   * Takes a fact.
   *
   * @returns The fact on record, and what it contradicts, if it does. Then the record stays as it was.
   */
  learn(told: Told): { fact: Fact; contradiction: Contradiction | undefined };
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
    learn(told) {
      const fact = known.get(told.revision);
      if (fact !== undefined) return { fact, contradiction: merge(fact, told) };
      const { revision, item, put, type, value, timestamp, source } = told;
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

/** Adds what is new in `told` to the fact; says what does not fit. */
function merge(fact: Fact, told: Told): Contradiction | undefined {
  const text = difference(fact, told);
  if (text !== undefined) return { about: "change", text };
  if (differs(fact.timestamp, told.timestamp)) {
    return {
      about: "timestamp",
      text: `timestamp ${fact.timestamp} and timestamp ${told.timestamp}`,
    };
  }
  fact.type ??= told.type;
  fact.value ??= told.value;
  fact.timestamp ??= told.timestamp;
  return undefined;
}

function difference(fact: Fact, told: Told): string | undefined {
  if (fact.item !== told.item)
    return `item ${JSON.stringify(fact.item)} and item ${JSON.stringify(told.item)}`;
  if (fact.put !== told.put) return fact.put ? "a value and a delete" : "a delete and a value";
  if (differs(fact.type, told.type)) return `${fact.type} and ${told.type}`;
  if (differs(fact.value, told.value)) return `value ${fact.value} and value ${told.value}`;
  return undefined;
}

function differs<T>(a: T | undefined, b: T | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}
