import type { SyncFrame } from "../core/frame.ts";
import type { GroupKey } from "../core/names.ts";
import type { Head, Store } from "../core/store.ts";
import type { SharedParts } from "./shared-parts.ts";
import {
  type StateReader,
  isSharable,
  lazily,
  openState,
  readGroup,
  readItems,
} from "./state-reader.ts";

/** How long a state is kept for others who ask, in milliseconds. */
const KEPT_MS = 1000;

/** A state that any number of readers can read. */
interface Followable {
  /** Where the group stood. */
  readonly head: Head;
  follow(): StateReader;
}

/** What came of reading a state. */
interface Reading {
  /** For who asked. */
  readonly own: StateReader;
  /** For others; undefined when each has to read for itself. */
  readonly others: Followable | undefined;
}

/**
 * The states of one group, read for many who ask at about the same time, as they do after a
 * disconnect: while nothing happens in the group, all get the same frames, which are encoded once. A
 * large state of a store that can hold one still is read by each at its own pace, from the parts that
 * others have just read (see SharedParts).
 *
 * A state is at or after all that was acknowledged before it was asked for (G10): one that somebody
 * else asked for is used only when the store's head, read meanwhile, is not ahead of it.
 */
export class GroupStates {
  readonly #store: Store;
  readonly #group: GroupKey;
  readonly #sharing: (group: GroupKey) => SharedParts | undefined;
  /** What was asked for last; it does not reject. */
  #latest: Promise<Followable | undefined> | undefined;

  /**
   * @param sharing What those who read the group share; undefined when the store's head does not tell
   *   all that may have changed: then each reads for itself.
   */
  constructor(
    store: Store,
    group: GroupKey,
    sharing: (group: GroupKey) => SharedParts | undefined,
  ) {
    this.#store = store;
    this.#group = group;
    this.#sharing = sharing;
  }

  /** Reads the state of some items. */
  readItems(itemIds: readonly string[]): StateReader {
    return readItems(this.#store, this.#group, itemIds);
  }

  /** Reads the state of the group. */
  readGroup(): StateReader {
    const shared = this.#sharing(this.#group);
    return shared === undefined
      ? readGroup(this.#store, this.#group)
      : lazily(() => this.#open(shared));
  }

  async #open(shared: SharedParts): Promise<StateReader> {
    const latest = this.#latest;
    if (latest === undefined) return this.#read(shared);
    const [state, [head]] = await Promise.all([latest, this.#store.heads([this.#group])]);
    if (state !== undefined && isFresh(state.head, head as Head)) return state.follow();
    // One after another would read what has changed meanwhile: each but the first reads for itself.
    if (this.#latest === latest) return this.#read(shared);
    return readGroup(this.#store, this.#group, shared);
  }

  async #read(shared: SharedParts): Promise<StateReader> {
    const reading = this.#begin(shared);
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
      if (this.#latest === latest) this.#latest = undefined;
    };
    this.#latest = latest;
    void latest.then((others) => {
      if (others !== undefined) setTimeout(forget, KEPT_MS).unref();
    });
    return (await reading).own;
  }

  async #begin(shared: SharedParts): Promise<Reading> {
    const opened = await openState(this.#store, this.#group, shared);
    if (opened.kind === "whole") return forAll(opened.state);
    const { reader } = opened;
    const first = await reader.next();
    if (!first.last) return { own: beginningWith(first, reader), others: undefined };
    reader.close();
    return forAll({ head: first, follow: () => beginningWith(first, undefined) });
  }
}

/** What others get, too, where the state allows it. */
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

/** @param rest Where the parts after the first come from; undefined: there are none. */
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
