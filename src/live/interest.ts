import type { GroupStates } from "./group-states.ts";
import type { StateReader } from "./state-reader.ts";

/** What a subscription wants to hear of its group. */
export interface Interest {
  /** Whether it wants events of this item; undefined: events of the group as a whole. */
  matches(itemId: string | undefined): boolean;
  /** Reads the state of all it wants, at one position. */
  readState(states: GroupStates): StateReader;
  /** Called when what was not taken of the frames is dropped, because a snapshot of all it wants follows. */
  reset?(): void;
  /**
   * When it speaks for several: since when one of them, at the most, has had no frame with a position,
   * Unix milliseconds.
   */
  quietSinceMs?(): number;
}

/** Interest in one item, or in the whole group when there is none. */
export function interestIn(itemId: string | undefined): Interest {
  if (itemId === undefined)
    return { matches: () => true, readState: (states) => states.readGroup() };
  return {
    matches: (id) => id === itemId,
    readState: (states) => states.readItems([itemId]),
  };
}
