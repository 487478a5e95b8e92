import type { GroupStates } from "./group-states.ts";
import type { StateReader } from "./state-reader.ts";

/** The events and items of a group that a subscription follows. */
export interface Interest {
  /**
   * Whether updates may come as deltas, now: a subscription asks for each event. From the moment at
   * which it becomes false, every later change of the group comes whole.
   */
  readonly deltas: boolean;
  /** Whether it includes events of this item; undefined: events of the group as a whole. */
  matches(itemId: string | undefined): boolean;
  /** Reads the state of everything it includes, at one position. */
  readState(states: GroupStates): StateReader;
  /** Called when unread frames are dropped because a snapshot of everything it includes follows. */
  reset?(): void;
  /**
   * For an interest of several members: the earliest of the times at which each member last
   * received a frame with a position, Unix milliseconds.
   */
  quietSinceMs?(): number;
}

/** How a subscription takes what it follows. */
export interface InterestOptions {
  /** Whether it takes updates as deltas. Default false. */
  readonly deltas?: boolean | undefined;
  /** Of a group: its snapshots have only the newest items, this many. Default: all. */
  readonly window?: number | undefined;
}

/** Interest in one item; undefined: in the whole group. */
export function interestIn(
  itemId: string | undefined,
  { deltas = false, window }: InterestOptions = {},
): Interest {
  if (itemId === undefined)
    return { deltas, matches: () => true, readState: (states) => states.readGroup(window) };
  return {
    deltas,
    matches: (id) => id === itemId,
    readState: (states) => states.readItems([itemId]),
  };
}
