import type { Cause, ItemName } from "../core/lifetime.ts";
import type { GroupKey } from "../core/names.ts";
import { groupKeyText } from "../core/names.ts";
import type { Firing } from "../core/outbox.ts";
import type { Commit, Committed, ItemCondition, Mutation, Store } from "../core/store.ts";

/** Dependencies of the ends of items. */
export interface EndingOptions {
  readonly store: Store;
  /** The triggers that a change of an item fires. */
  readonly firing: (group: GroupKey, itemId: string) => Firing | undefined;
}

/** An item to delete, and the condition of the delete. */
export interface EndingItem extends ItemName {
  readonly onlyIf: ItemCondition;
}

/** Most deletes of one commit: it takes well under a millisecond. */
const MAX_PER_COMMIT = 64;

/**
 * Deletes items whose lifetime has ended: ordinary changes with a cause, in the given order within
 * each group, 64 items per commit. An item that does not meet its condition stays. Groups do not
 * wait for each other, and a group that fails does not affect the others.
 *
 * @returns How many were deleted.
 * @throws StreamError when the store failed; some may have been deleted.
 */
export async function endItems(
  items: readonly EndingItem[],
  cause: Cause,
  { store, firing }: EndingOptions,
): Promise<number> {
  const groups = Array.from(mutationsOf(items, cause, firing), async ({ group, mutations }) => {
    const outcomes = await store.run(group, commitsOf(mutations));
    return outcomes.reduce((sum, outcome) => sum + (outcome.ok ? changesOf(outcome) : 0), 0);
  });
  const ended = await Promise.allSettled(groups);
  return ended.reduce((sum, group) => {
    if (group.status === "rejected") throw group.reason;
    return sum + group.value;
  }, 0);
}

function changesOf({ results }: Committed): number {
  return results.filter(({ revision }) => revision !== undefined).length;
}

interface GroupEnds {
  readonly group: GroupKey;
  readonly mutations: Mutation[];
}

function mutationsOf(
  items: readonly EndingItem[],
  cause: Cause,
  firing: EndingOptions["firing"],
): Iterable<GroupEnds> {
  const groups = new Map<string, GroupEnds>();
  for (const { group, itemId, onlyIf } of items) {
    const text = groupKeyText(group);
    const ends = groups.get(text) ?? { group, mutations: [] };
    groups.set(text, ends);
    ends.mutations.push({ kind: "delete", itemId, cause, onlyIf, fires: firing(group, itemId) });
  }
  return groups.values();
}

function commitsOf(mutations: readonly Mutation[]): Commit[] {
  const commits: Commit[] = [];
  for (let at = 0; at < mutations.length; at += MAX_PER_COMMIT)
    commits.push({ mutations: mutations.slice(at, at + MAX_PER_COMMIT) });
  return commits;
}
