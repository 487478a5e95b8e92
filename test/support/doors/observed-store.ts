import type { Store } from "../../../src/core/store.ts";

/** Calls of a store that can be delayed or made to fail. */
type Disturbed = "run" | "get" | "heads" | "since";

/** A store that counts watches and log reads, and can be delayed or made to fail. */
export interface ObservedStore extends Store {
  /** Number of active watches. */
  readonly watches: number;
  /** Number of reads of the log. */
  readonly logReads: number;
  /** Resolves when the number of active watches is `count`. */
  whenWatches(count: number): Promise<void>;
  /**
   * Delays calls until `release` is called. Resolves `reached` when the first one waits.
   */
  hold(method: Disturbed): { readonly reached: Promise<void>; release(): void };
  /** Makes calls fail until the returned function is called. */
  fail(method: Disturbed, error: Error): () => void;
}

/** Wraps a store. */
export function observeStore(store: Store): ObservedStore {
  let watches = 0;
  let logReads = 0;
  const waiting = new Set<{ readonly count: number; readonly resolve: () => void }>();
  const disturbances = new Map<Disturbed, () => Promise<void>>();

  const countWatches = (by: number) => {
    watches += by;
    for (const waiter of waiting) {
      if (waiter.count !== watches) continue;
      waiting.delete(waiter);
      waiter.resolve();
    }
  };
  const disturbed = async <T>(method: Disturbed, run: () => Promise<T>): Promise<T> => {
    await disturbances.get(method)?.();
    return run();
  };

  return {
    ...store,
    get watches() {
      return watches;
    },
    get logReads() {
      return logReads;
    },
    whenWatches(count) {
      if (watches === count) return Promise.resolve();
      return new Promise((resolve) => waiting.add({ count, resolve }));
    },
    hold(method) {
      let release = () => {};
      let reach = () => {};
      const released = new Promise<void>((resolve) => (release = resolve));
      const reached = new Promise<void>((resolve) => (reach = resolve));
      disturbances.set(method, () => {
        reach();
        return released;
      });
      return {
        reached,
        release() {
          disturbances.delete(method);
          release();
        },
      };
    },
    fail(method, error) {
      disturbances.set(method, () => Promise.reject(error));
      return () => disturbances.delete(method);
    },
    // Undisturbed calls of a group must reach the store in order, so nothing is awaited.
    run: (group, commits) =>
      disturbances.has("run")
        ? disturbed("run", () => store.run(group, commits))
        : store.run(group, commits),
    get: (group, itemId) => disturbed("get", () => store.get(group, itemId)),
    heads: (groups) => disturbed("heads", () => store.heads(groups)),
    since(group, from, limits) {
      logReads++;
      return disturbed("since", () => store.since(group, from, limits));
    },
    async watch(group, listener, onDoubt) {
      const unwatch = await store.watch(group, listener, onDoubt);
      countWatches(1);
      let active = true;
      return () => {
        unwatch();
        if (active) countWatches(-1);
        active = false;
      };
    },
  };
}
