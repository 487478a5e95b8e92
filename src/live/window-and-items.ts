import type { SyncFrame } from "../core/frame.ts";
import { samePosition } from "../core/position.ts";
import { type StateReader, lazily } from "./state-reader.ts";

/** Dependencies of windowAndItems. */
export interface WindowAndItems {
  /** Reads the window. */
  readonly window: StateReader;
  /** Reads the items: one part. */
  readonly items: StateReader;
  /** How many items that is. */
  readonly itemCount: number;
  /** Reads the whole group, as a window. */
  all(): StateReader;
}

/**
 * Reads a window and, beside it, items that may be older: both at one position. It costs what they
 * cost; only if the group changes so between the two reads that nobody knows what the items were, the
 * whole group is read.
 */
export function windowAndItems(options: WindowAndItems): StateReader {
  const { window, items, itemCount } = options;
  return lazily(async () => {
    const part = await window.next();
    const beside = await items.next();
    if (!isUnchanged(part, beside, itemCount)) {
      window.close();
      return options.all();
    }
    let first: SyncFrame | undefined = { ...part, beside: beside.items };
    return {
      next() {
        if (first === undefined) return window.next();
        const next = first;
        first = undefined;
        return Promise.resolve(next);
      },
      close: () => window.close(),
    };
  });
}

/** Whether items that were read later are those of the window's position. */
function isUnchanged(window: SyncFrame, items: SyncFrame, itemCount: number): boolean {
  if (samePosition(window.position, items.position)) return true;
  if (window.position.epoch !== items.position.epoch) return false;
  // One that is gone may have been there.
  if (items.items.length < itemCount) return false;
  return items.items.every(({ revision }) => revision <= window.position.revision);
}
