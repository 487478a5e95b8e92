import { countBelow } from "./search.ts";
import type { Where } from "./violation.ts";

/** Proof that a group had reached a revision: somebody was told so. */
export interface Evidence {
  /** When it was told. */
  readonly t: number;
  readonly revision: number;
  /** What told it. */
  readonly what: "ack" | "change" | "sync" | "heartbeat" | "resumed" | "list" | "get";
  readonly where: Where;
}

/**
 * What was known at which time about how far a group had come in one epoch. Add everything, then
 * ask: the first question sorts.
 */
export interface Timeline {
  add(evidence: Evidence): void;
  /** The highest revision known strictly before a time, with its proof; undefined when nothing was. */
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
