import { withDelta } from "../../src/core/change.ts";
import type { Store } from "../../src/core/store.ts";
import { bound } from "./unreliable-feed.ts";

/**
 * A store that can, or cannot, read the deltas in its log without the values.
 *
 * @param isSmall Whether it can.
 */
export function withDeltaLog(store: Store, isSmall: boolean): Store {
  const { deltasSince: _, ...whole } = bound(store);
  if (!isSmall) return whole;
  return {
    ...whole,
    async deltasSince(...args) {
      const replay = await store.since(...args);
      return replay.lost ? replay : { ...replay, changes: replay.changes.map(withDelta) };
    },
  };
}
