import { type SyncFrame, itemBytes } from "../core/frame.ts";
import type { Item } from "../core/change.ts";
import type { GroupKey } from "../core/names.ts";
import { type Position, samePosition } from "../core/position.ts";
import type { Head, SnapshotPage, SnapshotReader, Store } from "../core/store.ts";
import { type FoldedState, foldPages } from "./folded-state.ts";
import type { SnapshotPartCache } from "./snapshot-part-cache.ts";
import { PART_LIMITS, type PartOfWindow, stateFrame } from "./state-part.ts";

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
        return stateFrame(items, at, true, true);
      }
      // The group changed between the reads; only a snapshot has them all at one position.
      return pick(await foldPages(store, group, await store.snapshot(group)), itemIds);
    },
    close() {},
  };
}

function pick(state: FoldedState, itemIds: readonly string[]): SyncFrame {
  const wanted = new Set(itemIds);
  return stateFrame(
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
 * @param window Only the newest items, this many. Undefined: all.
 * @param shared Parts that are shared with other readers of the same state.
 */
export function groupState(
  store: Store,
  group: GroupKey,
  window?: number,
  shared?: SnapshotPartCache,
): StateReader {
  return lazily(async () => followed(await openState(store, group, window, shared)));
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
  window: number | undefined,
  shared?: SnapshotPartCache,
): Promise<OpenState> {
  const reader = await store.snapshot(group, window);
  if (reader.stable) return { kind: "parts", reader: stableParts(reader, group, window, shared) };
  const state = new WholeState(group, await foldPages(store, group, reader, window));
  return { kind: "whole", state };
}

function followed(opened: OpenState): StateReader {
  return opened.kind === "whole" ? opened.state.follow() : opened.reader;
}

function stableParts(
  reader: SnapshotReader,
  group: GroupKey,
  size: number | undefined,
  shared: SnapshotPartCache | undefined,
): StateReader {
  let isFirst = true;
  /** How many items were read. */
  let place = 0;
  /** The place of the first item of a window. */
  let first: string | undefined;
  const frameOf = (page: SnapshotPage): SyncFrame => {
    const { items, window, done } = page;
    if (window === undefined || size === undefined) return stateFrame(items, page, isFirst, done);
    const { places, total } = window;
    if (isFirst) first = places[0];
    const count = Math.min(total, size);
    return stateFrame(items, page, isFirst, done, { group, total, count, places, first });
  };
  const next = async (): Promise<SyncFrame> => {
    const { head } = reader;
    if (shared === undefined || head === undefined) return frameOf(await reader.next(PART_LIMITS));
    const known = shared.find(group, size, head, place);
    if (known !== undefined && reader.skip?.(known.page) === true) {
      if (isFirst) first = known.page.window?.places[0];
      return known.frame;
    }
    const page = await reader.next(PART_LIMITS);
    const frame = frameOf(page);
    if (isSharable(page.position)) shared.note(group, size, place, { page, frame });
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

/** A state that was read completely. All its readers get the same parts. */
export class WholeState {
  readonly #group: GroupKey;
  readonly #state: FoldedState;
  readonly #parts: SyncFrame[] = [];
  /** How many items the parts hold. */
  #place = 0;

  constructor(group: GroupKey, state: FoldedState) {
    this.#group = group;
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
    const part = stateFrame(
      items.slice(start, this.#place),
      this.#state,
      index === 0,
      isLast,
      this.#windowFrom(start),
    );
    this.#parts.push(part);
    return part;
  }

  #windowFrom(start: number): PartOfWindow | undefined {
    const { items, window } = this.#state;
    if (window === undefined) return undefined;
    const { places, total } = window;
    const group = this.#group;
    const count = items.length;
    return { group, total, count, places: places.slice(start, this.#place), first: places[0] };
  }
}
