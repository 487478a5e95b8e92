import type { SnapshotItem } from "./history.ts";
import type { Fact, Ledger } from "./ledger.ts";
import type { ValueText } from "./value-text.ts";

/** An item in the state. */
export interface ReplayedItem {
  /** That of its last change; undefined when only a snapshot told of it, without a revision. */
  readonly revision: number | undefined;
  /** Undefined when nobody told it. */
  readonly value: ValueText | undefined;
  /** Revision since which it exists; where that is unknown, one at which it did. */
  readonly createdAt: number;
}

/**
 * The state of a group, replayed from what is known of one epoch, change by change.
 *
 * An epoch begins with nothing before revision 1. Unknown revisions make doubtful whatever they may
 * have touched, until a change of the item or a whole snapshot settles it.
 */
export interface ReplayedState {
  /** Applies all known changes up to a revision, telling of each before it is applied. */
  advance(revision: number, before: (fact: Fact) => void): void;
  item(item: string): ReplayedItem | undefined;
  /** Ids of the items in creation order, as far as known. */
  items(): Iterable<string>;
  /** The last known change of the item, up to here. */
  lastChange(item: string): Fact | undefined;
  /** Revision up to which the state of the item is known without doubt. */
  settledAt(item: string): number;
  /** Whether no unknown revision can have changed the item since. */
  isCertain(item: string): boolean;
  /** Whether the state is known as a whole. */
  isExact(): boolean;
  /** The last unknown revision; 0 when there was none. */
  lastGap(): number;
  /** Takes a whole snapshot at the present revision as the new ground. */
  rebase(revision: number, items: readonly SnapshotItem[]): void;
}

/** Creates the state before revision 1. */
export function createReplayedState(ledger: Ledger): ReplayedState {
  const facts = ledger.facts();
  const state = new Map<string, ReplayedItem>();
  const changes = new Map<string, Fact>();
  let next = 0;
  let at = 0;
  let gap = 0;
  let ground = 0;

  const settledAt = (item: string) => Math.max(ground, changes.get(item)?.revision ?? 0);
  const apply = (fact: Fact): void => {
    const { item, revision, value } = fact;
    if (fact.put) {
      const before = state.get(item);
      // After a gap the item may have been deleted in between: then it is new and goes last.
      const renewed = before !== undefined && fact.type === "create";
      if (renewed) state.delete(item);
      state.set(item, {
        revision,
        value,
        createdAt: renewed ? revision : (before?.createdAt ?? revision),
      });
    } else state.delete(item);
    changes.set(item, fact);
  };

  return {
    advance(revision, before) {
      for (
        let fact = facts[next];
        fact !== undefined && fact.revision <= revision;
        fact = facts[++next]
      ) {
        if (fact.revision > at + 1) gap = fact.revision - 1;
        before(fact);
        apply(fact);
        at = fact.revision;
      }
      if (revision !== Infinity && revision > at) {
        gap = revision;
        at = revision;
      }
    },
    item: (item) => state.get(item),
    items: () => state.keys(),
    lastChange: (item) => changes.get(item),
    settledAt,
    isCertain: (item) => gap <= settledAt(item),
    isExact: () => gap <= ground,
    lastGap: () => gap,
    rebase(revision, items) {
      if (gap > ground) {
        const before = new Map(state);
        state.clear();
        for (const told of items)
          state.set(told.item, settle(told, before.get(told.item), revision));
      }
      ground = revision;
    },
  };
}

/** An item as a whole snapshot at a revision shows it. */
function settle(
  { value, revision }: SnapshotItem,
  known: ReplayedItem | undefined,
  at: number,
): ReplayedItem {
  if (known !== undefined && revision !== undefined && known.revision === revision)
    return { ...known, value: known.value ?? value };
  return { revision, value, createdAt: known?.createdAt ?? revision ?? at };
}
