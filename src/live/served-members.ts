import type { Item } from "../core/change.ts";
import { FewMap } from "../core/few-map.ts";
import type { SyncFrame } from "../core/frame.ts";

/** What a member of a shared subscription follows. */
export interface Followed {
  /** Follows this item; undefined: the whole group. */
  readonly itemId: string | undefined;
  /** Of a group: its snapshots have only the newest items, this many. Undefined: all. */
  readonly window?: number | undefined;
}

/** What a member has received of a snapshot for all members. */
interface Progress {
  /** The item that it follows. */
  item: Item | undefined;
  /** Number of items in the parts so far, and whether it received one of them. */
  passed: number;
  begun: boolean;
  /** The token of the items before its window. */
  token: string | undefined;
}

/**
 * The members that the opening frame of a segment serves. They share one snapshot: each gets its
 * part of it.
 */
export class ServedMembers<M extends Followed> {
  readonly #members = new FewMap<M, Progress | undefined>();

  /** Starts anew, with these members. */
  restart(members: Iterable<M>): void {
    this.#members.clear();
    for (const member of members) this.#members.set(member, undefined);
  }

  /** All members. */
  keys(): Iterable<M, undefined> {
    return this.#members.keys();
  }

  /** Whether it serves a member. */
  has(member: M): boolean {
    return this.#members.has(member);
  }

  /** Removes a member. */
  delete(member: M): void {
    this.#members.delete(member);
  }

  /**
   * The window that has everything that the members of a group follow. Undefined: the whole group;
   * Infinity: the whole group, as a window.
   */
  window(): number | undefined {
    let largest: number | undefined;
    let isWhole = false;
    for (const { window } of this.#members.keys()) {
      if (window === undefined) isWhole = true;
      else largest = Math.max(largest ?? 0, window);
    }
    return isWhole && largest !== undefined ? Infinity : largest;
  }

  /**
   * Splits a part of the snapshot, the parts being given in order.
   *
   * @param give Called for each member with its part; undefined: this part has nothing for it.
   */
  split(frame: SyncFrame, give: (member: M, part: SyncFrame | undefined) => void): void {
    let items: ReadonlyMap<string, Item> | undefined;
    for (const member of this.#members.keys()) {
      const { itemId, window } = member;
      if (itemId !== undefined) {
        items ??= new Map(frame.items.map((item) => [item.itemId, item]));
        give(member, itemPart(frame, items.get(itemId), this.#progressOf(member)));
      } else if (window === undefined || frame.window === undefined || frame.window.count <= window)
        give(member, frame);
      else give(member, windowPart(frame, window, frame.window, this.#progressOf(member)));
    }
  }

  #progressOf(member: M): Progress {
    let progress = this.#members.get(member);
    if (progress === undefined) {
      progress = { item: undefined, passed: 0, begun: false, token: undefined };
      this.#members.set(member, progress);
    }
    return progress;
  }
}

/** The state of an item, once all parts have been seen. */
function itemPart(
  { position, timestamp, last }: SyncFrame,
  found: Item | undefined,
  progress: Progress,
): SyncFrame | undefined {
  const item = (progress.item ??= found);
  if (!last) return undefined;
  const items = item === undefined ? [] : [item];
  return { kind: "sync", items, position, first: true, last: true, timestamp };
}

/** The part of a window that is smaller than that of the snapshot. */
function windowPart(
  { items, position, timestamp, last }: SyncFrame,
  size: number,
  { count, tokenBefore }: NonNullable<SyncFrame["window"]>,
  progress: Progress,
): SyncFrame | undefined {
  const start = Math.max(0, count - size - progress.passed);
  progress.passed += items.length;
  if (start >= items.length && !last) return undefined;
  const first = !progress.begun;
  if (first) progress.token = tokenBefore(start);
  progress.begun = true;
  const part = {
    kind: "sync",
    items: items.slice(start),
    position,
    first,
    last,
    timestamp,
  } as const;
  return { ...part, truncated: true, olderPageToken: last ? progress.token : undefined };
}
