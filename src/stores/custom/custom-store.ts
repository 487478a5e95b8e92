import { NO_AUTHOR } from "../../core/author.ts";
import type { Item } from "../../core/change.ts";
import { asksForLifetime } from "../../core/commit.ts";
import { Delta } from "../../core/delta.ts";
import { StreamError } from "../../core/errors.ts";
import type { GroupKey } from "../../core/names.ts";
import type { OpError } from "../../core/ops.ts";
import { customStreamUnsupported } from "../../core/overrides.ts";
import { type Position, samePosition } from "../../core/position.ts";
import { compareUtf8 } from "../../core/text.ts";
import type { Idempotency } from "../../core/idempotency-key.ts";
import type {
  Commit,
  ItemRead,
  Mutation,
  Outcome,
  ReadLimits,
  SnapshotReader,
  StateHead,
  Store,
} from "../../core/store.ts";
import type { Value } from "../../core/value.ts";
import { createGroupLocks } from "./group-locks.ts";
import { type Outside, refuseReentry } from "./outside.ts";
import { itemsOfValues } from "./snapshot-ids.ts";

/** A store in which some streams are custom. */
export interface CustomStore extends Store {
  /** Whether functions store the values of a stream. */
  isCustom(streamName: string): boolean;
}

const ANY_ITEM = "any";
const READ_PAGE: ReadLimits = { maxCount: 1000, maxBytes: 8 * 1024 * 1024 };

/**
 * Streams whose values are stored outside the service, over a store that holds everything else:
 * their positions, logs, events and outbox, and the values written through the service.
 *
 * A write calls the outside first and then records its change in the store, under one lock per
 * group; a crash in between leaves a value without its event. Changes made outside the service are
 * not observed. Operations without a function of their own use the inner store.
 */
export function customStreams(store: Store, outside: Outside): CustomStore {
  const locks = createGroupLocks();
  const isCustom = (streamName: string) => outside.isCustom(streamName);
  const locked = <T>(group: GroupKey, work: () => Promise<T>): Promise<T> => {
    refuseReentry(group.streamName);
    return locks.run(group, work);
  };

  /** The value before a write: from the outside if the stream has a `get`. */
  const before = async (group: GroupKey, itemId: string): Promise<Value | undefined> => {
    if (outside.has("get", group.streamName)) return outside.get(group, itemId);
    return (await store.get(group, itemId)).item?.value;
  };

  /** The value after a write that did not return it; undefined when it is unknown. */
  const readBack = async (group: GroupKey, itemId: string): Promise<Value | undefined> => {
    if (!outside.has("get", group.streamName)) return undefined;
    // The write has happened: a failed read must not fail it.
    return outside.get(group, itemId).catch(() => undefined);
  };

  /**
   * The value before an update, and the revision at which every reader has it: 0 when readers may
   * have another one. Values from the outside may have changed there without a revision.
   */
  const stored = async (group: GroupKey, itemId: string, old: Value | undefined) => {
    const { streamName } = group;
    if (outside.has("get", streamName) || outside.has("list", streamName))
      return { value: old, revision: 0 };
    const { item } = await store.get(group, itemId);
    return { value: item?.value, revision: item?.revision ?? 0 };
  };

  /** Writes outside. @returns the change to record. */
  const writeOutside = async (group: GroupKey, mutation: Mutation): Promise<Mutation> => {
    const { itemId, fires } = mutation;
    const { streamName } = group;
    const old = await before(group, itemId);
    const record = (
      oldValue: Value | undefined,
      after: Value | undefined,
      errors?: readonly OpError[],
      delta?: Delta,
    ): Mutation => ({ kind: "record", itemId, before: oldValue, after, errors, fires, delta });
    switch (mutation.kind) {
      case "put": {
        if (!outside.has("set", streamName)) return record(old, mutation.value);
        const { oldValue, newValue } = await outside.set(group, itemId, mutation.value);
        return record(oldValue === undefined ? old : oldValue.value, newValue ?? mutation.value);
      }
      case "reduce": {
        if (mutation.steps !== undefined && outside.has("update", streamName)) {
          if (mutation.mayRefuse === true) mutation.reduce(old);
          const { oldValue, newValue } = await outside.update(group, itemId, mutation.steps());
          // A value that it did not return is read back; without a `get` it is computed.
          const after = newValue ?? (await readBack(group, itemId)) ?? mutation.reduce(old).value;
          return record(oldValue === undefined ? old : oldValue.value, after);
        }
        // Read, reduce, set: the errors are those of the reduce.
        const { revision, value: current } = await stored(group, itemId, old);
        const { value, errors, effective } = mutation.reduce(current);
        const written = outside.has("set", streamName)
          ? await outside.set(group, itemId, value)
          : undefined;
        const other = written?.newValue;
        const delta =
          other === undefined && effective !== undefined && revision > 0
            ? Delta.smallerThan(value, revision, effective)
            : undefined;
        return record(current, other ?? value, errors, delta);
      }
      case "delete": {
        if (!outside.has("delete", streamName)) return record(old, undefined);
        const { oldValue } = await outside.delete(group, itemId);
        return record(oldValue === undefined ? old : oldValue.value, undefined);
      }
      case "record":
        return mutation;
    }
  };

  const runOutside = async (group: GroupKey, commit: Commit): Promise<Outcome> => {
    try {
      const [mutation] = commit.mutations;
      const expects =
        commit.expectedEpoch !== undefined || mutation?.expectedRevision !== undefined;
      const isKeyed = commit.idempotency !== undefined;
      const isPlain = mutation !== undefined && !asksForLifetime(mutation);
      if (!isPlain || commit.mutations.length > 1 || expects || isKeyed)
        throw customStreamUnsupported();
      return await record(group, await writeOutside(group, mutation), commit.author);
    } catch (error) {
      return { ok: false, error: StreamError.from(error) };
    }
  };

  /** Records a change that was made outside. */
  const record = async (
    group: GroupKey,
    mutation: Mutation,
    author: string | undefined,
  ): Promise<Outcome> => {
    try {
      const [outcome] = await store.run(group, [{ mutations: [mutation], author }]);
      if (outcome !== undefined) return outcome;
      throw new StreamError("INTERNAL", "The store gave no outcome.");
    } catch (cause) {
      throw new StreamError(
        "OUTCOME_UNKNOWN",
        "The value was written, but the change could not be recorded; no subscriber receives it.",
        { cause },
      );
    }
  };

  /** The items of a group that were written through the service. */
  const writtenIn = async (group: GroupKey): Promise<Item[]> => {
    const items: Item[] = [];
    let after: string | undefined;
    do {
      const page = await store.list(group, { ...READ_PAGE, after });
      items.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    return items;
  };
  /** All items at one position: the lock keeps other writers out. */
  const readAll = (group: GroupKey) =>
    locked(group, async () => {
      const values = await outside.list(group);
      // Only the head is needed.
      const { item: _, ...head } = await store.get(group, ANY_ITEM);
      return { ...head, items: itemsOfValues(values, await writtenIn(group)) };
    });

  const readItem = async (group: GroupKey, itemId: string): Promise<ItemRead> => {
    const value = await outside.get(group, itemId);
    const recorded = await store.get(group, itemId);
    if (value === undefined) return { ...recorded, item: undefined };
    const known = recorded.item ?? {
      itemId,
      revision: 0,
      createTimeMs: 0,
      updateTimeMs: 0,
      author: NO_AUTHOR,
    };
    return { ...recorded, item: { ...known, value } };
  };

  return {
    isCustom,
    get outbox() {
      return store.outbox;
    },
    // Items of custom streams have no lifetimes.
    get lifetimes() {
      return store.lifetimes;
    },
    get failure() {
      return store.failure;
    },
    run(group, commits) {
      if (!isCustom(group.streamName)) return store.run(group, commits);
      return locked(group, async () => {
        const outcomes: Outcome[] = [];
        for (const commit of commits) outcomes.push(await runOutside(group, commit));
        return outcomes;
      });
    },
    broadcast: (group, message) => store.broadcast(group, message),
    async get(group, itemId) {
      if (!outside.has("get", group.streamName)) return store.get(group, itemId);
      refuseReentry(group.streamName);
      // Without a concurrent write, value and position match without a lock.
      if (!locks.isHeld(group)) {
        const [head] = await store.heads([group]);
        const read = await readItem(group, itemId);
        const isSame = head !== undefined && samePosition(head.position, read.position);
        if (isSame && !locks.isHeld(group)) return read;
      }
      return locked(group, () => readItem(group, itemId));
    },
    ...(store.recall !== undefined && {
      async recall(group: GroupKey, idempotency: Idempotency) {
        if (isCustom(group.streamName)) throw customStreamUnsupported();
        return store.recall?.(group, idempotency);
      },
    }),
    heads: (groups) => store.heads(groups),
    async list(group, page) {
      if (!outside.has("list", group.streamName)) return store.list(group, page);
      const { items: listed, position } = await readAll(group);
      const items = page.descending === true ? listed.toReversed() : listed;
      const { found, next } = pageOf(items, startOf(page.after, items, position), page);
      const cursor = next === undefined ? undefined : cursorAfter(items, next, position);
      return { items: found, position, itemCount: items.length, next: cursor };
    },
    async snapshot(group, window) {
      if (!outside.has("list", group.streamName)) return store.snapshot(group, window);
      const { items, ...head } = await readAll(group);
      return readerOf(items, head, window);
    },
    since: (group, from, limits) => store.since(group, from, limits),
    ...(store.deltasSince !== undefined && {
      deltasSince: (group: GroupKey, from: Position, limits: ReadLimits) =>
        store.deltasSince!(group, from, limits),
    }),
    logRange: (group) => store.logRange(group),
    async groups(streamName, { after, limit }) {
      if (!outside.has("list_groups", streamName))
        return store.groups(streamName, { ...(after !== undefined && { after }), limit });
      refuseReentry(streamName);
      const ids = Array.from(new Set(await outside.groups(streamName))).sort(compareUtf8);
      return ids.filter((id) => after === undefined || compareUtf8(id, after) > 0).slice(0, limit);
    },
    allGroups: (page) => store.allGroups(page),
    watch: (group, listener, onDoubt) => store.watch(group, listener, onDoubt),
    close: () => store.close(),
  };
}

/** A reader of items in memory: of all, or of the last ones. */
function readerOf(
  listed: readonly Item[],
  head: StateHead,
  window: number | undefined,
): SnapshotReader {
  const items = window === undefined ? listed : listed.slice(-window);
  const newest = window === undefined ? [] : listed.toReversed();
  let at = 0;
  return {
    stable: true,
    async next(limits) {
      const start = at;
      const { found, next } = pageOf(items, start, limits);
      at = next ?? items.length;
      const page = { ...head, items: found, done: next === undefined };
      if (window === undefined) return page;
      const places = found.map((_, i) =>
        cursorAfter(newest, items.length - start - i, head.position),
      );
      return { ...page, window: { places, total: listed.length } };
    },
    close() {},
  };
}

/**
 * The cursor of the page that begins at an index: the index, the revision, and the ids of the items
 * before and at the index.
 */
function cursorAfter(items: readonly Item[], index: number, { revision }: Position): string {
  const [before = "", at = ""] = [items[index - 1]?.itemId, items[index]?.itemId];
  return `${index} ${revision} ${before}${at === "" ? "" : `\n${at}`}`;
}

/**
 * Where a page begins: after the last item of the page before, wherever it is now; if that one is
 * gone, with the one that followed it. After an item without an id: at the next index, as long as
 * nothing was written.
 *
 * @throws StreamError PAGE_TOKEN_INVALID
 */
function startOf(
  after: string | undefined,
  items: readonly Item[],
  { revision }: Position,
): number {
  if (after === undefined) return 0;
  const [, next, then, last = "", following = ""] =
    /^(\d{1,15}) (\d{1,16}) ([^\n]*)(?:\n([^\n]*))?$/.exec(after) ?? [];
  if (last !== "") {
    const found = items.findIndex(({ itemId }) => itemId === last);
    if (found >= 0) return found + 1;
    const beside = items.findIndex(({ itemId }) => itemId === following);
    if (following !== "" && beside >= 0) return beside;
  } else if (next !== undefined && Number(then) === revision) return Number(next);
  throw new StreamError(
    "PAGE_TOKEN_INVALID",
    "page_token is not one of this listing; it may be the next_page_token of the page before, or empty to start over.",
    { metadata: { field: "page_token" } },
  );
}

function pageOf(items: readonly Item[], start: number, limits: ReadLimits) {
  const found: Item[] = [];
  let bytes = 0;
  for (let at = start; at < items.length; at++) {
    const item = items[at] as Item;
    bytes += item.value.size;
    if (found.length > 0 && (found.length >= limits.maxCount || bytes > limits.maxBytes))
      return { found, next: at };
    found.push(item);
  }
  return { found, next: undefined };
}
