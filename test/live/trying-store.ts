import type { GroupEvent, Item } from "../../src/core/change.ts";
import type { GroupKey } from "../../src/core/names.ts";
import type { SnapshotReader, Store } from "../../src/core/store.ts";
import type { Random } from "../support/random.ts";
import { bound, deltasOf } from "./unreliable-feed.ts";

/** Lets other work run first, for a few turns. */
async function pause(dice: Random): Promise<void> {
  for (let turns = dice.below(4); turns > 0; turns--)
    await new Promise((resolve) => setImmediate(resolve));
}

/** Slows a store down, before and after each read, and splits its snapshots into many pages. */
export function withSlowAnswers(store: Store, dice: Random): Store {
  const slow = async <T>(read: () => Promise<T>): Promise<T> => {
    await pause(dice);
    const result = await read();
    await pause(dice);
    return result;
  };
  return {
    ...bound(store),
    get: (group, itemId) => slow(() => store.get(group, itemId)),
    heads: (groups) => slow(() => store.heads(groups)),
    since: (...args) => slow(() => store.since(...args)),
    ...deltasOf(
      store,
      (read) =>
        (...args) =>
          slow(() => read(...args)),
    ),
    snapshot: async (group, window) => {
      await pause(dice);
      const reader = await store.snapshot(group, window);
      // Windows may have pages of their own, each at its own position.
      if (reader.stable || window === undefined) return pagedSnapshot(reader, dice);
      return { ...reader, next: (limits) => slow(() => reader.next(limits)) };
    },
  };
}

async function pagedSnapshot(reader: SnapshotReader, dice: Random): Promise<SnapshotReader> {
  const { items, window, ...head } = await reader.next({ maxCount: 1e9, maxBytes: 1e9 });
  reader.close();
  const left: Item[] = [...items];
  const places = [...(window?.places ?? [])];
  return {
    stable: true,
    async next() {
      await pause(dice);
      const page = left.splice(0, 2);
      const ofWindow = window && { ...window, places: places.splice(0, 2) };
      return { ...head, items: page, window: ofWindow, done: left.length === 0 };
    },
    close() {},
  };
}

/** A store that can lose its history. */
export interface ForgetfulStore extends Store {
  /** Continues with another store, as after a restore: a new epoch, without the earlier data. */
  replace(store: Store): void;
}

/** Wraps a store. */
export function forgetful(first: Store): ForgetfulStore {
  let current = first;
  const watches = new Map<
    string,
    { group: GroupKey; listeners: Set<(event: GroupEvent) => void> }
  >();
  const forward = async (store: Store, group: GroupKey, key: string) => {
    await store.watch(group, (event) => {
      if (store === current) watches.get(key)?.listeners.forEach((listener) => listener(event));
    });
  };
  const keyOf = ({ streamName, groupId }: GroupKey) => JSON.stringify([streamName, groupId]);
  return {
    outbox: current.outbox,
    run: (...args) => current.run(...args),
    broadcast: (...args) => current.broadcast(...args),
    get: (...args) => current.get(...args),
    heads: (...args) => current.heads(...args),
    list: (...args) => current.list(...args),
    snapshot: (...args) => current.snapshot(...args),
    since: (...args) => current.since(...args),
    ...deltasOf(
      first,
      () =>
        (...args) =>
          current.deltasSince!(...args),
    ),
    logRange: (...args) => current.logRange(...args),
    groups: (...args) => current.groups(...args),
    allGroups: (...args) => current.allGroups(...args),
    async watch(group, listener) {
      const key = keyOf(group);
      const entry = watches.get(key) ?? { group, listeners: new Set() };
      if (!watches.has(key)) {
        watches.set(key, entry);
        await forward(current, group, key);
      }
      // Each watch is separate, even with the same listener.
      const own = (event: GroupEvent) => listener(event);
      entry.listeners.add(own);
      return () => entry.listeners.delete(own);
    },
    close: () => current.close(),
    replace(store) {
      current = store;
      for (const [key, { group }] of watches) void forward(store, group, key);
    },
  };
}
