import type { SyncFrame } from "../core/frame.ts";
import type { GroupKey } from "../core/names.ts";
import type { Head, Store } from "../core/store.ts";
import { type StateReader, lazily, readGroup, readItems } from "./state-reader.ts";

/** How long a state is kept for others who ask, in milliseconds. */
const KEPT_MS = 1000;

/** The first part of a state. */
interface Start {
  readonly frame: SyncFrame;
  /** Where the parts after it come from; undefined: there are none. */
  readonly rest: StateReader | undefined;
}

/**
 * The states of one group, read for many who ask at about the same time, as they do after a
 * disconnect: while nothing happens in the group, all get the same frame, which is encoded once. That is
 * so for a state of one part; the parts of a larger one are read at the pace of who asks.
 *
 * A state is at or after all that was acknowledged before it was asked for (G10): one that somebody
 * else asked for is used only when the store's head, read meanwhile, is not ahead of it.
 */
export class GroupStates {
  readonly #store: Store;
  readonly #group: GroupKey;
  readonly #isShared: (group: GroupKey) => boolean;
  /** What was asked for last; it does not reject. */
  #latest: Promise<Start | undefined> | undefined;

  /** @param isShared Whether the store's head tells all that may have changed: else each reads for itself. */
  constructor(store: Store, group: GroupKey, isShared: (group: GroupKey) => boolean) {
    this.#store = store;
    this.#group = group;
    this.#isShared = isShared;
  }

  /** Reads the state of some items. */
  readItems(itemIds: readonly string[]): StateReader {
    return readItems(this.#store, this.#group, itemIds);
  }

  /** Reads the state of the group. */
  readGroup(): StateReader {
    return this.#isShared(this.#group)
      ? lazily(() => this.#open())
      : readGroup(this.#store, this.#group);
  }

  async #open(): Promise<StateReader> {
    const latest = this.#latest;
    if (latest === undefined) return partsOf(await this.#read());
    const [state, [head]] = await Promise.all([latest, this.#store.heads([this.#group])]);
    if (state !== undefined && isFresh(state, head as Head)) return partsOf(state);
    // One after another would read what has changed meanwhile: each but the first reads for itself.
    if (this.#latest === latest) return partsOf(await this.#read());
    return readGroup(this.#store, this.#group);
  }

  #read(): Promise<Start> {
    const reading = readStart(readGroup(this.#store, this.#group));
    const latest = reading.then(
      (state) => {
        // What has a rest is for one reader.
        if (state.rest === undefined) return state;
        forget();
        return undefined;
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
    void latest.then((state) => {
      if (state !== undefined) setTimeout(forget, KEPT_MS).unref();
    });
    return reading;
  }
}

async function readStart(reader: StateReader): Promise<Start> {
  const frame = await reader.next();
  if (frame.last) reader.close();
  return { frame, rest: frame.last ? undefined : reader };
}

function isFresh({ frame }: Start, { position, timestamp }: Head): boolean {
  return (
    frame.position.epoch === position.epoch &&
    frame.position.revision >= position.revision &&
    frame.timestamp >= timestamp
  );
}

function partsOf({ frame, rest }: Start): StateReader {
  let isTaken = false;
  return {
    async next() {
      if (isTaken && rest !== undefined) return rest.next();
      isTaken = true;
      return frame;
    },
    close: () => rest?.close(),
  };
}
