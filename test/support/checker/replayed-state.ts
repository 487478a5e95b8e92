import type { SnapshotItem } from "./history.ts";
import type { Fact, Ledger } from "./ledger.ts";
import type { ValueText } from "./value-text.ts";

/** An item in the state. */
export interface ReplayedItem {
  /** Revision of its last change; undefined when only a snapshot without revisions shows it. */
  readonly revision: number | undefined;
  /** Undefined when it was never observed. */
  readonly value: ValueText | undefined;
  /** Revision since which it exists; if that is unknown, a revision at which it did. */
  readonly createdAt: number;
}

/**
 * The state of a group, replayed from the known changes of one epoch.
 *
 * An epoch begins empty, before revision 1. Unknown revisions make uncertain whatever they may have
 * changed, until a change of the item or a complete snapshot resolves it.
 */
export interface ReplayedState {
  /** Applies all known changes up to a revision, calling back before each. */
  advance(revision: number, before: (fact: Fact) => void): void;
  item(item: string): ReplayedItem | undefined;
  /** Ids of the items in creation order, as far as known. */
  items(): Iterable<string>;
  /** The last known change of the item, up to here. */
  lastChange(item: string): Fact | undefined;
  /** Revision up to which the state of the item is certain. */
  settledAt(item: string): number;
  /** Whether no unknown revision can have changed the item since. */
  isCertain(item: string): boolean;
  /** Whether the whole state is known. */
  isExact(): boolean;
  /** The last unknown revision; 0 when there was none. */
  lastGap(): number;
  /** Takes a complete snapshot at the present revision as the new base. */
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
      // In a gap the item may have been deleted: then it is new, and last in order.
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
        for (const shown of items)
          state.set(shown.item, settle(shown, before.get(shown.item), revision));
      }
      ground = revision;
    },
  };
}

/** An item of a complete snapshot at a revision. */
function settle(
  { value, revision }: SnapshotItem,
  known: ReplayedItem | undefined,
  at: number,
): ReplayedItem {
  if (known !== undefined && revision !== undefined && known.revision === revision)
    return { ...known, value: known.value ?? value };
  return { revision, value, createdAt: known?.createdAt ?? revision ?? at };
}
