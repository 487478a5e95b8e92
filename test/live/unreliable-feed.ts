import type { GroupEvent } from "../../src/core/change.ts";
import type { Store } from "../../src/core/store.ts";
import type { Random } from "../support/random.ts";

/**
 * A store whose feed loses, repeats, delays and reorders events, as a network may. Its log is
 * correct, so the guarantees must come from there.
 */
export function withUnreliableFeed(store: Store, random: Random): Store {
  return {
    ...bound(store),
    watch(group, listener) {
      let delayed: GroupEvent | undefined;
      return store.watch(group, (event) => {
        if (random.chance(0.15)) return;
        if (random.chance(0.1)) {
          delayed = event;
          return;
        }
        listener(event);
        if (event.kind === "change" && random.chance(0.1)) listener(event);
        if (delayed?.kind === "change") listener(delayed);
        delayed = undefined;
      });
    },
  };
}

/** The optional read of a store, changed by `wrap`. */
export function deltasOf(
  store: Store,
  wrap = (read: NonNullable<Store["deltasSince"]>) => read,
): Pick<Store, "deltasSince"> {
  const read = store.deltasSince?.bind(store);
  return read === undefined ? {} : { deltasSince: wrap(read) };
}

/** A store's methods as properties of a plain object, so that each can be spread and replaced. */
export function bound(store: Store): Store {
  return {
    outbox: store.outbox,
    run: (...args) => store.run(...args),
    broadcast: (...args) => store.broadcast(...args),
    get: (...args) => store.get(...args),
    heads: (...args) => store.heads(...args),
    list: (...args) => store.list(...args),
    snapshot: (...args) => store.snapshot(...args),
    since: (...args) => store.since(...args),
    ...deltasOf(store),
    logRange: (...args) => store.logRange(...args),
    groups: (...args) => store.groups(...args),
    allGroups: (...args) => store.allGroups(...args),
    watch: (...args) => store.watch(...args),
    close: () => store.close(),
  };
}
