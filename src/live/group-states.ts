import type { SyncFrame } from "../core/frame.ts";
import type { GroupKey } from "../core/names.ts";
import type { Head, Store } from "../core/store.ts";
import type { SnapshotPartCache } from "./snapshot-part-cache.ts";
import {
  type StateReader,
  isSharable,
  lazily,
  openState,
  groupState,
  itemsState,
} from "./state-reader.ts";

/** How long a state is kept for other readers, in milliseconds. */
const KEPT_MS = 1000;
/** How many windows of a group, of different sizes, are shared at a time. */
const MAX_SHARED_WINDOWS = 16;

/** A state for other readers, once it is known whether there is one; it does not reject. */
type Latest = Promise<Followable | undefined>;

/** A state that any number of readers can read. */
interface Followable {
  /** The group's head at that state. */
  readonly head: Head;
  follow(): StateReader;
}

/** The result of opening a state. */
interface Reading {
  /** For the caller. */
  readonly own: StateReader;
  /** For other readers; undefined when each has to read for itself. */
  readonly others: Followable | undefined;
}

/**
 * The states of one group, shared by many readers at about the same time, as after a disconnect:
 * while the group does not change, all get the same frames, which are encoded once. A large state
 * of a store with stable snapshots is read by each at its own pace, from the parts that others have
 * just read (see SnapshotPartCache).
 *
 * A state is at or after every write acknowledged before it was requested (G10): a state that
 * another reader requested is used only when the store's head, read since then, is not ahead of it.
 */
export class GroupStates {
  readonly #store: Store;
  readonly #group: GroupKey;
  readonly #sharing: (group: GroupKey) => SnapshotPartCache | undefined;
  /** The latest shared state of the whole group. */
  #whole: Latest | undefined;
  /** Those of windows, by size. Undefined: there are none. */
  #windows: Map<number, Latest> | undefined;

  /**
   * @param sharing The snapshot parts that readers of the group share; undefined when the store's
   *   head does not show every change: then each reads for itself.
   */
  constructor(
    store: Store,
    group: GroupKey,
    sharing: (group: GroupKey) => SnapshotPartCache | undefined,
  ) {
    this.#store = store;
    this.#group = group;
    this.#sharing = sharing;
  }

  /** Reads the state of some items. */
  readItems(itemIds: readonly string[]): StateReader {
    return itemsState(this.#store, this.#group, itemIds);
  }

  /**
   * Reads the state of the group.
   *
   * @param window Only the newest items, this many, as a window. Infinity: all, as a window. Absent:
   *   all.
   */
  readGroup(window?: number): StateReader {
    const shared = this.#sharing(this.#group);
    return shared === undefined
      ? groupState(this.#store, this.#group, window)
      : lazily(() => this.#open(window, shared));
  }

  async #open(window: number | undefined, shared: SnapshotPartCache): Promise<StateReader> {
    const latest = this.#latest(window);
    if (latest === undefined) {
      const isOneTooMany = window !== undefined && this.#windows?.size === MAX_SHARED_WINDOWS;
      if (!isOneTooMany) return this.#read(window, shared);
      return groupState(this.#store, this.#group, window, shared);
    }
    const [state, [head]] = await Promise.all([latest, this.#store.heads([this.#group])]);
    if (state !== undefined && isFresh(state.head, head as Head)) return state.follow();
    // Waiting for the new latest state could find it outdated again, so only one caller reads that
    // one and each of the others reads for itself.
    if (this.#latest(window) === latest) return this.#read(window, shared);
    return groupState(this.#store, this.#group, window, shared);
  }

  async #read(window: number | undefined, shared: SnapshotPartCache): Promise<StateReader> {
    const reading = this.#begin(window, shared);
    const latest = reading.then(
      ({ others }) => {
        if (others === undefined) forget();
        return others;
      },
      () => {
        forget();
        return undefined;
      },
    );
    const forget = () => {
      if (this.#latest(window) === latest) this.#setLatest(window, undefined);
    };
    this.#setLatest(window, latest);
    void latest.then((others) => {
      if (others !== undefined) setTimeout(forget, KEPT_MS).unref();
    });
    return (await reading).own;
  }

  #latest(window: number | undefined): Latest | undefined {
    return window === undefined ? this.#whole : this.#windows?.get(window);
  }

  #setLatest(window: number | undefined, latest: Latest | undefined): void {
    if (window === undefined) this.#whole = latest;
    else if (latest !== undefined) (this.#windows ??= new Map()).set(window, latest);
    else if (this.#windows?.delete(window) === true && this.#windows.size === 0)
      this.#windows = undefined;
  }

  async #begin(window: number | undefined, shared: SnapshotPartCache): Promise<Reading> {
    const opened = await openState(this.#store, this.#group, window, shared);
    if (opened.kind === "whole") return forAll(opened.state);
    const { reader } = opened;
    const first = await reader.next();
    if (!first.last) return { own: beginningWith(first, reader), others: undefined };
    reader.close();
    return forAll({ head: first, follow: () => beginningWith(first, undefined) });
  }
}

/** A reading that others share where the state allows it. */
function forAll(state: Followable): Reading {
  return { own: state.follow(), others: isSharable(state.head.position) ? state : undefined };
}

function isFresh(state: Head, { position, timestamp }: Head): boolean {
  return (
    state.position.epoch === position.epoch &&
    state.position.revision >= position.revision &&
    state.timestamp >= timestamp
  );
}

/** @param rest The parts after the first; undefined: there are none. */
function beginningWith(first: SyncFrame, rest: StateReader | undefined): StateReader {
  let isTaken = false;
  return {
    async next() {
      if (isTaken && rest !== undefined) return rest.next();
      isTaken = true;
      return first;
    },
    close: () => rest?.close(),
  };
}
