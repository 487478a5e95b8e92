import type { Cause, ItemName } from "../core/lifetime.ts";
import type { GroupKey } from "../core/names.ts";
import { groupKeyText } from "../core/names.ts";
import type { Firing } from "../core/outbox.ts";
import type { ItemCondition, Mutation, Store } from "../core/store.ts";

/** Dependencies of the ends of items. */
export interface EndingOptions {
  readonly store: Store;
  /** The triggers that a change of an item fires. */
  readonly firing: (group: GroupKey, itemId: string) => Firing | undefined;
}

/** An item to delete, and what it has to be like. */
export interface EndingItem extends ItemName {
  readonly onlyIf: ItemCondition;
}

/** Most deletes of one commit: it takes well under a millisecond. */
const MAX_PER_COMMIT = 64;

/**
 * Deletes items whose end has come: ordinary changes with a cause, one commit per group and 64
 * items. An item that is not as described stays.
 *
 * @returns How many were deleted.
 * @throws StreamError when the store failed; some may have been deleted.
 */
export async function endItems(
  items: readonly EndingItem[],
  cause: Cause,
  { store, firing }: EndingOptions,
): Promise<number> {
  let count = 0;
  for (const [group, mutations] of mutationsOf(items, cause, firing)) {
    const [outcome] = await store.run(group, [{ mutations }]);
    if (outcome?.ok !== true) continue;
    count += outcome.results.filter(({ revision }) => revision !== undefined).length;
  }
  return count;
}

function* mutationsOf(
  items: readonly EndingItem[],
  cause: Cause,
  firing: EndingOptions["firing"],
): Generator<readonly [GroupKey, readonly Mutation[]]> {
  const byGroup = new Map<string, { readonly group: GroupKey; mutations: Mutation[] }>();
  for (const { group, itemId, onlyIf } of items) {
    const text = groupKeyText(group);
    const entry = byGroup.get(text) ?? { group, mutations: [] };
    byGroup.set(text, entry);
    const fires = firing(group, itemId);
    entry.mutations.push({ kind: "delete", itemId, cause, onlyIf, fires });
    if (entry.mutations.length < MAX_PER_COMMIT) continue;
    yield [group, entry.mutations];
    entry.mutations = [];
  }
  for (const { group, mutations } of byGroup.values())
    if (mutations.length > 0) yield [group, mutations];
}
