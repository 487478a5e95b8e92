import { countBelow } from "./search.ts";
import type { Where } from "./violation.ts";

/** Proof that a group had reached a revision: a client observed it. */
export interface Evidence {
  /** When it was observed. */
  readonly t: number;
  readonly revision: number;
  /** By what it was observed. */
  readonly what: "ack" | "change" | "sync" | "heartbeat" | "resumed" | "list" | "get";
  readonly where: Where;
}

/**
 * How far a group was known to have progressed in one epoch, over time. Add everything, then query:
 * the first query sorts.
 */
export interface Timeline {
  add(evidence: Evidence): void;
  /** The highest revision known strictly before a time, with its proof; undefined: none. */
  floorBefore(t: number): Evidence | undefined;
  /** All entries by time. */
  entries(): readonly Evidence[];
}

/** Creates an empty timeline. */
export function createTimeline(): Timeline {
  const all: Evidence[] = [];
  let floors: Evidence[] | undefined;

  const sort = (): Evidence[] => {
    all.sort((a, b) => a.t - b.t);
    let best: Evidence | undefined;
    return all.map(
      (entry) => (best = best !== undefined && best.revision >= entry.revision ? best : entry),
    );
  };

  return {
    add(evidence) {
      all.push(evidence);
      floors = undefined;
    },
    floorBefore(t) {
      floors ??= sort();
      return floors[countBelow(all, t, (entry) => entry.t) - 1];
    },
    entries() {
      floors ??= sort();
      return all;
    },
  };
}
