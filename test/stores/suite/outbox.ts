import { describe, expect, it } from "vitest";
import type { GroupKey } from "../../../src/core/names.ts";
import type { Firing, OutboxHead } from "../../../src/core/outbox.ts";
import type { Mutation, Store } from "../../../src/core/store.ts";
import { type Json, Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import {
  attempt,
  changesSince,
  commit,
  contents,
  groupOf,
  listen,
  mark,
  plain,
  put,
  refusal,
  remove,
  testClock,
} from "./fixture.ts";
import { storesOf } from "./setup.ts";

/** Outboxes of one process have one partition; others may have more. The tests read all of them. */
const MANY = 10_000;

/** The mutation with its firing. */
export function firing(mutation: Mutation, ...triggers: readonly string[]): Mutation {
  return { ...mutation, fires: { triggers, depth: 0 } };
}

/** A change made outside the store. */
export function record(
  itemId: string,
  before: Json | undefined,
  after: Json | undefined,
  fires?: Firing,
): Mutation {
  const valueOf = (json: Json | undefined) => (json === undefined ? undefined : Value.of(json));
  return { kind: "record", itemId, before: valueOf(before), after: valueOf(after), fires };
}

/** All outbox entries, by partition. */
export async function waiting(store: Store): Promise<readonly OutboxHead[][]> {
  const { outbox } = store;
  const partitions = Array.from({ length: outbox.partitions }, (_, partition) => partition);
  return Promise.all(
    partitions.map(async (partition) =>
      (await outbox.scan(partition, 0, MANY)).map(({ seq, group, triggers, depth }) => ({
        seq,
        group,
        triggers: Array.from(triggers),
        depth,
      })),
    ),
  );
}

/** The outbox entries of a group, and their partition. */
export async function waitingOf(
  store: Store,
  group: GroupKey,
): Promise<{ readonly partition: number; readonly heads: readonly OutboxHead[] }> {
  const all = await waiting(store);
  const isOurs = (head: OutboxHead) =>
    head.group.streamName === group.streamName && head.group.groupId === group.groupId;
  const partition = Math.max(
    0,
    all.findIndex((heads) => heads.some(isOurs)),
  );
  return { partition, heads: all[partition]?.filter(isOurs) ?? [] };
}

/** The outbox entries of a group, as [triggers, the event's type, item and value]. */
export async function brieflyWaiting(store: Store, group: GroupKey): Promise<readonly unknown[]> {
  const { partition, heads } = await waitingOf(store, group);
  return Promise.all(
    heads.map(async ({ seq, triggers }) => {
      const entry = await store.outbox.read(partition, seq);
      return [triggers, entry?.event.type, entry?.event.itemId, entry?.event.value.json()];
    }),
  );
}

/** The outbox entries of commits and events. */
export function describeOutbox(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");
  const other = groupOf("other", "stream2");

  describe("outbox", () => {
    it("is empty at first, and stays empty when nothing fires", async () => {
      const { store } = await stores();
      expect(store.outbox.partitions).toBeGreaterThanOrEqual(1);
      await commit(store, group, put("a", 1), mark("b", "x"), remove("a"));
      await commit(store, group, record("c", 1, 2));
      await store.broadcast(group, { type: "ping", itemId: undefined, value: Value.of(1) });
      expect((await waiting(store)).flat()).toEqual([]);
    });

    it("gets an entry with each change that fires, in the same step (G1)", async () => {
      const { store } = await stores();
      await commit(
        store,
        group,
        firing(put("a", 1), "t1"),
        put("quiet", 1),
        { ...put("a", 2), fires: { triggers: ["t1", "t2"], depth: 3 } },
        firing(mark("m", "x"), "t3"),
        firing(remove("a"), "t1"),
      );
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ triggers, depth }) => [triggers, depth])).toEqual([
        [["t1"], 0],
        [["t1", "t2"], 3],
        [["t3"], 0],
        [["t1"], 0],
      ]);
      expect(await brieflyWaiting(store, group)).toEqual([
        [["t1"], "create", "a", 1],
        [["t1", "t2"], "update", "a", 2],
        [["t3"], "create", "m", "x"],
        [["t1"], "delete", "a", 2],
      ]);
    });

    it("gets no entry from a refused commit (G1)", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 1));
      await refusal(store, group, [firing(put("b", 1), "t"), firing(put("a", 2, 0), "t")]);
      await refusal(store, group, [firing(put("b", 1), "t")], { expectedEpoch: "another" });
      await refusal(store, group, [
        firing(put("b", 1), "t"),
        {
          kind: "reduce",
          bytes: 0,
          itemId: "a",
          reduce: () => {
            throw new Error("It cannot be reduced.");
          },
        },
      ]);
      const outcomes = await store.run(group, [
        { mutations: [firing(put("x", 1), "first")] },
        { mutations: [firing(put("x", 2, 0), "refused")] },
        { mutations: [firing(put("x", 3), "last")] },
      ]);
      expect(outcomes.map(({ ok }) => ok)).toEqual([true, false, true]);
      expect(await brieflyWaiting(store, group)).toEqual([
        [["first"], "create", "x", 1],
        [["last"], "update", "x", 3],
      ]);
    });

    it("gets no entry from a delete of a missing item", async () => {
      const { store } = await stores();
      await commit(store, group, firing(remove("missing"), "t"), firing(put("a", 1), "u"));
      await commit(store, group, firing(remove("missing"), "t"));
      expect(await brieflyWaiting(store, group)).toEqual([[["u"], "create", "a", 1]]);
    });

    it("gets firing transient events, between the changes they were sent between", async () => {
      const { store } = await stores();
      const send = (itemId: string | undefined, data: Json, fires: Firing) =>
        store.broadcast(group, { type: "ping", itemId, value: Value.of(data), fires });
      await commit(store, group, firing(put("a", 1), "t"));
      await send(undefined, "all", { triggers: ["t"], depth: 2 });
      await send("a", "one", { triggers: ["t", "u"], depth: 0 });
      await commit(store, group, firing(put("a", 2), "t"));
      expect(await brieflyWaiting(store, group)).toEqual([
        [["t"], "create", "a", 1],
        [["t"], "ping", undefined, "all"],
        [["t", "u"], "ping", "a", "one"],
        [["t"], "update", "a", 2],
      ]);
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ depth }) => depth)).toEqual([0, 2, 0, 0]);
    });

    it("gets quiet events in their place, which watchers do not receive", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      const isQuiet = true;
      const quiet = { type: "", itemId: undefined, value: Value.of(null), isQuiet };
      await commit(store, group, firing(put("a", 1), "t"));
      await store.broadcast(group, { ...quiet, fires: { triggers: ["u"], depth: 0 } });
      await commit(store, group, firing(put("a", 2), "t"));
      await recorder.received(2);
      expect(recorder.events.map(({ kind }) => kind)).toEqual(["change", "change"]);
      expect(await brieflyWaiting(store, group)).toEqual([
        [["t"], "create", "a", 1],
        [["u"], "", undefined, null],
        [["t"], "update", "a", 2],
      ]);
      // Nor does it make a group.
      await store.broadcast(other, { ...quiet, fires: { triggers: ["u"], depth: 0 } });
      expect(await store.groups(other.streamName, { limit: 10 })).toEqual([]);
      expect((await store.heads([other]))[0]?.position).toEqual({ epoch: "", revision: 0 });
    });

    it("has the whole announced event: value, position and timestamp", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      const recorder = await listen(store, group);
      await commit(store, group, firing(put("a", { deep: [null, "é\u{1f600}"] }), "t"));
      await store.broadcast(group, {
        type: "ping",
        itemId: undefined,
        value: Value.of([1]),
        fires: { triggers: ["t"], depth: 1 },
      });
      clock.nowMs += 5;
      await commit(store, group, firing(remove("a"), "t"));
      await recorder.received(3);
      const { partition, heads } = await waitingOf(store, group);
      const entries = await Promise.all(heads.map(({ seq }) => store.outbox.read(partition, seq)));
      expect(entries).toEqual(
        recorder.events.map((event, i) => ({ ...heads[i], event: { ...event } })),
      );
      expect(entries.map((entry) => entry && plain(entry.event))).toEqual(
        recorder.events.map(plain),
      );
      const sizes = entries.map((entry) => entry?.event.value.size);
      expect(sizes).toEqual(recorder.events.map(({ value }) => value.size));
    });

    it("has the entries of each group in revision order, with growing numbers (G2)", async () => {
      const { store } = await stores();
      const writers = [group, other].flatMap((key) =>
        Array.from({ length: 5 }, async (_, writer) => {
          for (let i = 0; i < 8; i++)
            await commit(store, key, firing(put(`${writer}`, i), "t"), put("quiet", i));
        }),
      );
      await Promise.all(writers);
      for (const heads of await waiting(store)) {
        const seqs = heads.map(({ seq }) => seq);
        expect(seqs).toEqual(Array.from(new Set(seqs)).sort((a, b) => a - b));
        expect(seqs.every((seq) => seq > 0)).toBe(true);
      }
      for (const key of [group, other]) {
        const { partition, heads } = await waitingOf(store, key);
        expect(heads).toHaveLength(40);
        const revisions = await Promise.all(
          heads.map(async ({ seq }) => {
            const event = (await store.outbox.read(partition, seq))?.event;
            return event?.kind === "change" ? event.position.revision : 0;
          }),
        );
        const changes = await changesSince(store, key, 0);
        const fired = changes === "lost" ? [] : changes.filter(({ itemId }) => itemId !== "quiet");
        expect(revisions).toEqual(fired.map(({ position }) => position.revision));
      }
    });

    it("returns nothing for missing entries", async () => {
      const { store } = await stores();
      expect(await store.outbox.read(0, 1)).toBeUndefined();
      await commit(store, group, firing(put("a", 1), "t"));
      const { partition, heads } = await waitingOf(store, group);
      const last = heads.at(-1)?.seq ?? 0;
      expect(await store.outbox.read(partition, last + 1)).toBeUndefined();
      expect(await store.outbox.scan(partition, last, 10)).toEqual([]);
    });
  });

  describe("changes made outside the store", () => {
    it("follow from their values before and after, whatever the group holds", async () => {
      const { store } = await stores();
      // The group already holds the first items, and none of the second ones.
      await commit(store, group, put("create", "own"), put("update", "own"), put("delete", "own"));
      const { results, position } = await commit(
        store,
        group,
        record("create", undefined, 1),
        record("create2", undefined, 1),
        record("update", 1, 2),
        record("update2", 1, 2),
        record("delete", 2, undefined),
        record("delete2", 2, undefined),
        record("nothing", undefined, undefined),
      );
      expect(
        results.map(({ revision, oldValue, newValue }) => [
          revision,
          oldValue?.json(),
          newValue?.json(),
        ]),
      ).toEqual([
        [4, undefined, 1],
        [5, undefined, 1],
        [6, 1, 2],
        [7, 1, 2],
        [8, 2, undefined],
        [9, 2, undefined],
        [undefined, undefined, undefined],
      ]);
      expect(position.revision).toBe(9);
      const changes = await changesSince(store, group, 3);
      expect(
        changes === "lost"
          ? []
          : changes.map(({ type, itemId, value }) => [type, itemId, value.json()]),
      ).toEqual([
        ["create", "create", 1],
        ["create", "create2", 1],
        ["update", "update", 2],
        ["update", "update2", 2],
        ["delete", "delete", 2],
        ["delete", "delete2", 2],
      ]);
    });

    it("leave the group with their values", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", "own"), put("b", "own"));
      await commit(
        store,
        group,
        record("b", undefined, 1),
        record("c", 5, 6),
        record("a", 7, undefined),
        record("missing", 8, undefined),
      );
      expect(await contents(store, group)).toEqual([
        ["b", 1],
        ["c", 6],
      ]);
      expect(await store.groups(group.streamName, { limit: 10 })).toEqual([group.groupId]);
      await commit(store, group, record("b", 1, undefined), record("c", 6, undefined));
      expect(await contents(store, group)).toEqual([]);
      expect(await store.allGroups({ limit: 10 })).toEqual({ groups: [], streamCount: 0 });
    });

    it("of items that the store never held leave no group behind", async () => {
      const { store } = await stores();
      await commit(store, group, record("gone", 1, undefined));
      expect(await store.allGroups({ limit: 10 })).toEqual({ groups: [], streamCount: 0 });
      expect(await changesSince(store, group, 0)).toMatchObject([{ type: "delete" }]);
      await commit(store, group, put("a", 1));
      expect(await store.allGroups({ limit: 10 })).toEqual({ groups: [group], streamCount: 1 });
    });

    it("use only their own values within one commit", async () => {
      const { store } = await stores();
      const outcome = await attempt(store, group, [
        record("a", undefined, 1),
        record("a", undefined, 2),
        record("a", 9, undefined),
        record("a", 9, 3),
      ]);
      expect(outcome.ok).toBe(true);
      expect(await changesSince(store, group, 0)).toMatchObject(
        ["create", "create", "delete", "update"].map((type) => ({ type })),
      );
      expect(await contents(store, group)).toEqual([["a", 3]]);
    });

    it("return the errors of skipped steps", async () => {
      const { store } = await stores();
      const errors = [{ opIndex: 1, code: "increment.not_number", message: "It is not a number." }];
      const { results } = await commit(store, group, { ...record("a", 1, 2), errors } as Mutation);
      expect(results[0]?.errors).toEqual(errors);
    });

    it("fire when they change the item, and not otherwise (G1)", async () => {
      const { store } = await stores();
      const fires = { triggers: ["t"], depth: 1 };
      await commit(
        store,
        group,
        record("a", undefined, 1, fires),
        record("b", undefined, undefined, fires),
        record("a", 1, 2, fires),
        record("a", 2, undefined, fires),
      );
      expect(await brieflyWaiting(store, group)).toEqual([
        [["t"], "create", "a", 1],
        [["t"], "update", "a", 2],
        [["t"], "delete", "a", 2],
      ]);
    });
  });
}
