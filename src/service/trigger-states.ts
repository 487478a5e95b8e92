import type { Store } from "../core/store.ts";
import { Value } from "../core/value.ts";
import { groupState, itemsState } from "../live/state-reader.ts";
import type { StateSource } from "../triggers/state-source.ts";

/** Most groups of one page. */
const PAGE = 1000;
const EMPTY = Value.of(null);

/** The states of groups of a store, for triggers that receive them. */
export function createStateSource(store: Store): StateSource {
  return {
    groups: (streamName, after) =>
      store.groups(streamName, { limit: PAGE, ...(after !== undefined && { after }) }),
    async *read(group, itemId) {
      const reader =
        itemId === undefined ? groupState(store, group) : itemsState(store, group, [itemId]);
      try {
        for (let isLast = false; !isLast;) {
          const frame = await reader.next();
          isLast = frame.last;
          yield frame;
        }
      } finally {
        reader.close();
      }
    },
    mark: (group, reference) =>
      store.broadcast(group, {
        ...{ type: "", itemId: undefined, value: EMPTY, isQuiet: true },
        fires: { triggers: [reference], depth: 0 },
      }),
  };
}
