/*
 * The entries of a log. An update by steps may be kept as its steps alone: a delta entry, whose value
 * is that of the entry it is based on, with the steps applied. The entries of one item form a chain
 * back to the last whole one. A change after 64 delta entries is whole, and so is one whose chain
 * would be larger than its value; so reading a value takes at most 65 entries, of no more than twice
 * its size.
 */
import type { ChangeEvent, DeltaEvent, LoggedChange } from "./change.ts";
import type { Delta } from "./delta.ts";
import type { UpdateOp } from "./ops.ts";
import { reduce } from "./reduce.ts";
import type { Value } from "./value.ts";

/** Most delta entries of one item between two whole ones. */
const MAX_CHAIN_CHANGES = 64;

/** The delta entries of an item since its last whole entry, up to one of them. */
export interface Chain {
  /** Revision of the whole entry. */
  readonly wholeRevision: number;
  /** Number of delta entries after it. */
  readonly changes: number;
  /** Bytes of their steps. */
  readonly bytes: number;
}

/** A change that a log keeps as its steps. */
export interface DeltaEntry extends DeltaEvent {
  /** Size of the value after it, by `Value.size`. */
  readonly valueSize: number;
  /** Its chain, itself included. */
  readonly chain: Chain;
}

/** A change as a log stores it: whole, with its delta if that is small, or as a delta. */
export type LogEntry = ChangeEvent | DeltaEntry;

/**
 * The entry of a new change.
 *
 * @param last The last entry of its item, at `delta.baseRevision`; undefined when the log does not
 *   have it. Read only for changes with a delta.
 * @param logStart Revision of the oldest change in the log, bases before it not counted.
 */
export function entryOf(
  change: ChangeEvent,
  last: () => LogEntry | undefined,
  logStart: number,
): LogEntry {
  const { delta } = change;
  if (delta === undefined) return change;
  const base = delta.baseRevision < logStart ? undefined : last();
  const chain = chainAfter(delta, change.value.size, base, logStart);
  const { bare } = delta;
  if (chain === undefined) return { ...change, delta: bare };
  const { itemId, position, timestamp, timeMs, author, value } = change;
  return {
    kind: "delta",
    itemId,
    position,
    timestamp,
    timeMs,
    author,
    delta: bare,
    valueSize: value.size,
    chain,
  };
}

function chainAfter(
  delta: Delta,
  valueSize: number,
  last: LogEntry | undefined,
  logStart: number,
): Chain | undefined {
  if (last === undefined) return undefined;
  const { wholeRevision, changes, bytes } =
    last.kind === "delta"
      ? last.chain
      : { wholeRevision: last.position.revision, changes: 0, bytes: 0 };
  const isDelta =
    wholeRevision >= logStart && changes < MAX_CHAIN_CHANGES && bytes + delta.size <= valueSize;
  return isDelta ? { wholeRevision, changes: changes + 1, bytes: bytes + delta.size } : undefined;
}

/** Bytes that an entry counts in the log. */
export function entrySize(entry: LogEntry): number {
  if (entry.kind === "delta") return entry.delta.size;
  return entry.value.size + (entry.delta?.size ?? 0);
}

/** Size of the value after an entry, by `Value.size`. */
export function valueSizeOf(entry: LogEntry): number {
  return entry.kind === "delta" ? entry.valueSize : entry.value.size;
}

/** Size of an entry in its smallest form. */
export function sizeOfSmallest(entry: LogEntry): number {
  return entry.delta?.size ?? valueSizeOf(entry);
}

/** An entry in its smallest form. */
export function smallest(entry: LogEntry): LoggedChange {
  if (entry.kind === "change" && entry.delta === undefined) return entry;
  const { itemId, position, timestamp, timeMs, author } = entry;
  const delta = entry.delta as Delta;
  return { kind: "delta", itemId, position, timestamp, timeMs, author, delta };
}

/**
 * Makes changes with whole values of the entries of one read of a group's log. It remembers the last
 * value of every item that it gave, so entries in order cost one reduction each.
 *
 * @param read The entry at a revision, bases included.
 * @returns A function that throws an Error when the log lacks a base of the entry.
 */
export function materialiser(
  read: (revision: number) => LogEntry | undefined,
): (entry: LogEntry) => ChangeEvent {
  const known = new Map<string, { readonly revision: number; readonly value: Value }>();

  const valueOf = (entry: DeltaEntry): Value => {
    const steps: (readonly UpdateOp[])[] = [];
    let at: LogEntry = entry;
    while (at.kind === "delta") {
      const { baseRevision, ops } = at.delta;
      steps.push(ops);
      const last = known.get(at.itemId);
      if (last?.revision === baseRevision) return applied(last.value, steps);
      const base = read(baseRevision);
      if (base === undefined || base.itemId !== at.itemId)
        throw new Error(`The log lacks revision ${baseRevision}, the base of a change.`);
      at = base;
    }
    return applied(at.value, steps);
  };

  return (entry) => {
    const { itemId, position, timestamp, timeMs, author } = entry;
    const { revision } = position;
    const value = entry.kind === "delta" ? valueOf(entry) : entry.value;
    known.set(itemId, { revision, value });
    if (entry.kind === "change") return entry;
    return {
      kind: "change",
      type: "update",
      itemId,
      value,
      position,
      timestamp,
      timeMs,
      author,
      delta: entry.delta,
    };
  };
}

/** @param steps The newest first. All took effect, one after another: so do they together. */
function applied(value: Value, steps: readonly (readonly UpdateOp[])[]): Value {
  return reduce(value, steps.toReversed().flat()).value;
}
