import type { GroupKey } from "../core/names.ts";
import type { BoundTrigger } from "../core/trigger.ts";

/** A trigger and its rank among all. */
interface Ranked {
  readonly id: string;
  readonly rank: number;
}

/** Triggers of a group, or of all groups, by item; undefined: all items. */
type ByItem = Map<string | undefined, Ranked[]>;
/** Triggers of a stream by group; undefined: all groups. */
type ByGroup = Map<string | undefined, ByItem>;

const NONE: readonly string[] = Object.freeze([]);

/**
 * Triggers of one type, `stream` or `stream:write`, by what they match: the triggers of an event are found with at most four
 * lookups, however many triggers exist.
 */
export class StreamIndex {
  readonly #byStream = new Map<string, ByGroup>();

  /** @param triggers In the order in which they fire. */
  constructor(triggers: readonly BoundTrigger[]) {
    for (const [rank, { id, definition }] of triggers.entries()) {
      const { streamName = "", groupId, itemId } = definition.config;
      const byGroup = getOrMake(this.#byStream, streamName, (): ByGroup => new Map());
      const byItem = getOrMake(byGroup, groupId, (): ByItem => new Map());
      getOrMake(byItem, itemId, (): Ranked[] => []).push({ id, rank });
    }
  }

  /**
   * Ids of the triggers that an event fires: the same object when there are none.
   *
   * @param itemId Undefined: an event of the group as a whole.
   */
  match({ streamName, groupId }: GroupKey, itemId: string | undefined): readonly string[] {
    const byGroup = this.#byStream.get(streamName);
    if (byGroup === undefined) return NONE;
    const found: Ranked[] = [];
    for (const byItem of [byGroup.get(undefined), byGroup.get(groupId)]) {
      for (const ranked of byItem?.get(undefined) ?? []) found.push(ranked);
      if (itemId === undefined) continue;
      for (const ranked of byItem?.get(itemId) ?? []) found.push(ranked);
    }
    if (found.length === 0) return NONE;
    if (found.length > 1) found.sort((a, b) => a.rank - b.rank);
    return found.map(({ id }) => id);
  }
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
