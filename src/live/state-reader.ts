import { createFold } from "../core/fold.ts";
import { StreamError } from "../core/errors.ts";
import { type SyncFrame, itemBytes } from "../core/frame.ts";
import type { Item } from "../core/change.ts";
import type { GroupKey } from "../core/names.ts";
import { type Position, samePosition } from "../core/position.ts";
import type {
  Head,
  ReadLimits,
  SnapshotPage,
  SnapshotReader,
  StateHead,
  Store,
} from "../core/store.ts";
import type { SnapshotPartCache } from "./snapshot-part-cache.ts";

/**
 * Size of one part of a snapshot or replay. Small, so that a slow reader shows progress and, with a
 * store whose snapshots are stable, a large group is never held as a whole.
 */
export const PART_LIMITS: ReadLimits = { maxCount: 1000, maxBytes: 256 * 1024 };

/** How often a snapshot is tried when the log moves on faster than its pages are read. */
const MAX_FOLD_ATTEMPTS = 5;

/** The state of a group or item at one position, part by part. */
export interface StateReader {
  /** The next part. Not to be called after the last one, nor while a call is pending. */
  next(): Promise<SyncFrame>;
  /** Releases its resources. Idempotent. */
  close(): void;
}

/**
 * Whether readers may share the frames of a state. At the origin the sync timestamp follows the
 * clock.
 */
export function isSharable({ epoch }: Position): boolean {
  return epoch !== "";
}

/** Reads the state of some items: a single part, read by the call of next(). */
export function itemsState(store: Store, group: GroupKey, itemIds: readonly string[]): StateReader {
  return {
    async next() {
      const reads = await Promise.all(itemIds.map((itemId) => store.get(group, itemId)));
      const [at] = reads;
      if (at !== undefined && reads.every(({ position }) => samePosition(position, at.position))) {
        const items = reads.flatMap(({ item }) => (item === undefined ? [] : [item]));
        return syncFrame(items, at, true, true);
      }
      // The group changed between the reads; only a snapshot has them all at one position.
      return pick(await foldPages(store, group, await store.snapshot(group)), itemIds);
    },
    close() {},
  };
}

function pick(state: Folded, itemIds: readonly string[]): SyncFrame {
  const wanted = new Set(itemIds);
  return syncFrame(
    state.items.filter(({ itemId }) => wanted.has(itemId)),
    state,
    true,
    true,
  );
}

/**
 * Reads the state of a group, from the first call of next(). All parts have one position, with any
 * store.
 *
 * @param shared Parts that are shared with other readers of the same state.
 */
export function groupState(store: Store, group: GroupKey, shared?: SnapshotPartCache): StateReader {
  return lazily(async () => followed(await openState(store, group, shared)));
}

/** A reader that is opened by the first call of next(). */
export function lazily(open: () => Promise<StateReader>): StateReader {
  let opened: Promise<StateReader> | undefined;
  let closed = false;
  const close = () => {
    closed = true;
    opened?.then((reader) => reader.close()).catch(() => {});
  };
  return {
    async next() {
      opened ??= open();
      const frame = await (await opened).next();
      if (closed) close();
      return frame;
    },
    close,
  };
}

/** An opened state: whole, for any number of readers, or read part by part, for one. */
export type OpenState =
  | { readonly kind: "whole"; readonly state: WholeState }
  | { readonly kind: "parts"; readonly reader: StateReader };

/** Opens the state of a group. @see groupState */
export async function openState(
  store: Store,
  group: GroupKey,
  shared?: SnapshotPartCache,
): Promise<OpenState> {
  const reader = await store.snapshot(group);
  if (reader.stable) return { kind: "parts", reader: stableParts(reader, group, shared) };
  return { kind: "whole", state: new WholeState(await foldPages(store, group, reader)) };
}

function followed(opened: OpenState): StateReader {
  return opened.kind === "whole" ? opened.state.follow() : opened.reader;
}

function stableParts(
  reader: SnapshotReader,
  group: GroupKey,
  shared: SnapshotPartCache | undefined,
): StateReader {
  let isFirst = true;
  /** How many items were read. */
  let place = 0;
  const next = async (): Promise<SyncFrame> => {
    const { head } = reader;
    if (shared === undefined || head === undefined) {
      const page = await reader.next(PART_LIMITS);
      return syncFrame(page.items, page, isFirst, page.done);
    }
    const known = shared.find(group, head, place);
    if (known !== undefined && reader.skip?.(known.page) === true) return known.frame;
    const page = await reader.next(PART_LIMITS);
    const frame = syncFrame(page.items, page, isFirst, page.done);
    if (isSharable(page.position)) shared.note(group, place, { page, frame });
    return frame;
  };
  return {
    async next() {
      const frame = await next();
      isFirst = false;
      place += frame.items.length;
      return frame;
    },
    close: () => reader.close(),
  };
}

interface Folded extends StateHead {
  readonly items: readonly Item[];
}

async function foldPages(
  store: Store,
  group: GroupKey,
  firstReader: SnapshotReader,
): Promise<Folded> {
  let reader = firstReader;
  for (let attempt = 1; ; attempt++) {
    try {
      const folded = await tryFold(store, group, reader);
      if (folded !== undefined) return folded;
    } finally {
      reader.close();
    }
    if (attempt === MAX_FOLD_ATTEMPTS) {
      throw new StreamError(
        "STORE_UNAVAILABLE",
        "No snapshot can be taken, because the group changes faster than its history is kept; keep more history.",
      );
    }
    reader = await store.snapshot(group);
  }
}

/**
 * One pass over the pages; undefined when the log no longer holds what changed between two of them.
 */
async function tryFold(
  store: Store,
  group: GroupKey,
  reader: SnapshotReader,
): Promise<Folded | undefined> {
  const fold = createFold();
  let page: SnapshotPage | undefined;
  do {
    const before: Position | undefined = page?.position;
    page = await reader.next(PART_LIMITS);
    if (before !== undefined && !(await foldBetween(store, group, fold, before, page.position)))
      return undefined;
    fold.page(page.items, page.position);
  } while (!page.done);
  const { items: _, done: __, next: ___, ...head } = page;
  return { ...head, items: fold.items() };
}

async function foldBetween(
  store: Store,
  group: GroupKey,
  fold: ReturnType<typeof createFold>,
  from: Position,
  to: Position,
): Promise<boolean> {
  let at = from;
  while (at.epoch !== to.epoch || at.revision < to.revision) {
    const replay = await store.since(group, at, PART_LIMITS);
    const last = replay.lost ? undefined : replay.changes.at(-1);
    if (replay.lost || last === undefined || last.position.epoch !== to.epoch) return false;
    fold.changes(replay.changes.filter((change) => change.position.revision <= to.revision));
    at = last.position;
  }
  return true;
}

/** A state that was read completely. All its readers get the same parts. */
export class WholeState {
  readonly #state: Folded;
  readonly #parts: SyncFrame[] = [];
  /** How many items the parts hold. */
  #place = 0;

  constructor(state: Folded) {
    this.#state = state;
  }

  /** The group's head at that state. */
  get head(): Head {
    return this.#state;
  }

  /** Reads it from its first part. */
  follow(): StateReader {
    let next = 0;
    return {
      next: async () => this.#part(next++),
      close() {},
    };
  }

  #part(index: number): SyncFrame {
    const known = this.#parts[index];
    if (known !== undefined) return known;
    const { items } = this.#state;
    const start = this.#place;
    let bytes = 0;
    while (this.#place < items.length && this.#place - start < PART_LIMITS.maxCount) {
      bytes += itemBytes(items[this.#place] as Item);
      if (this.#place > start && bytes > PART_LIMITS.maxBytes) break;
      this.#place++;
    }
    const isLast = this.#place === items.length;
    const part = syncFrame(items.slice(start, this.#place), this.#state, index === 0, isLast);
    this.#parts.push(part);
    return part;
  }
}

function syncFrame(
  items: readonly Item[],
  { position, timestamp, syncTimestamp = timestamp || 1 }: StateHead,
  first: boolean,
  last: boolean,
): SyncFrame {
  return { kind: "sync", items, position, first, last, timestamp: syncTimestamp };
}
