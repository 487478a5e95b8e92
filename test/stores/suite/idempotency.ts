import { describe, expect, it } from "vitest";
import type { Idempotency } from "../../../src/core/idempotency-key.ts";
import type { GroupKey } from "../../../src/core/names.ts";
import type { Commit, Committed, Mutation, Outcome, Store } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import {
  ALL,
  attempt,
  changesSince,
  commit,
  contents,
  groupOf,
  listen,
  mark,
  put,
  refusal,
  remove,
  testClock,
} from "./fixture.ts";
import { firing, waitingOf } from "./outbox.ts";
import { storesOf } from "./setup.ts";

const group = groupOf("room");
const MINUTE = 60_000;
const WINDOW = 10 * MINUTE;
/** Most keys of a group. */
const MAX_KEYS = 10_000;

/** An idempotency key. */
export function once(key: string, fingerprint = "f", caller = "user:ann"): Idempotency {
  return { caller, key, fingerprint };
}

/** Runs a commit with an idempotency key that must not be refused. */
export async function commitOnce(
  store: Store,
  idempotency: Idempotency,
  mutations: readonly Mutation[],
  rest: Omit<Commit, "mutations" | "idempotency"> = {},
  key: GroupKey = group,
): Promise<Committed> {
  const outcome = await attempt(store, key, mutations, { ...rest, idempotency });
  if (!outcome.ok) throw outcome.error;
  return outcome;
}

/** What a repetition says: the outcome of the first commit, without values. */
export function repetitionOf({ position, results }: Committed): Committed {
  return {
    ok: true,
    position,
    results: results.map(({ revision, oldValue }) => ({
      revision,
      created: revision !== undefined && oldValue === undefined,
      oldValue: undefined,
      newValue: undefined,
      errors: [],
    })),
    deduplicated: true,
  };
}

/** Commits that leave the group as it is, with the keys `k<from>` and so on. */
function keysOnly(from: number, count: number): readonly Commit[] {
  return Array.from({ length: count }, (_, i) => ({
    mutations: [remove("none")],
    idempotency: once(`k${from + i}`),
  }));
}

const isRepeated = (outcome: Outcome) => outcome.ok && outcome.deduplicated === true;

/** Commits with an idempotency key. */
export function describeIdempotency(open: OpenStore): void {
  const stores = storesOf(open);

  describe("idempotency keys", () => {
    it.each<[string, readonly Mutation[]]>([
      ["a put that creates", [put("new", 1)]],
      ["a put that replaces", [put("old", 2)]],
      ["a reduce", [mark("text", "x")]],
      ["a delete", [remove("old")]],
      ["several mutations", [put("new", 1), mark("text", "y"), remove("none"), remove("old")]],
      ["mutations of one item", [put("new", 1), remove("new"), put("new", 2), mark("text", "z")]],
    ])("make the repetition of %s change nothing, with the first outcome", async (_, mutations) => {
      const { store } = await stores();
      await commit(store, group, put("old", 1), put("text", "t"));
      const recorder = await listen(store, group);
      const fired = mutations.map((each) => firing(each, "t"));
      const first = await commitOnce(store, once("k"), fired);
      expect(first.deduplicated).toBeUndefined();
      const state = async () => ({
        contents: await contents(store, group),
        changes: await changesSince(store, group, 0),
        heads: await store.heads([group]),
        waiting: (await waitingOf(store, group)).heads.length,
      });
      const before = await state();
      expect(await commitOnce(store, once("k"), fired)).toEqual(repetitionOf(first));
      expect(await state()).toEqual(before);
      await commitOnce(store, once("k"), fired);
      // Whatever the group is like by now.
      const { position } = await commit(store, group, remove("new"), put("text", "other"));
      expect(await commitOnce(store, once("k"), fired)).toEqual(repetitionOf(first));
      expect((await store.heads([group]))[0]?.position).toEqual(position);
      await recorder.received(position.revision - 2);
      expect(recorder.events).toHaveLength(position.revision - 2);
    });

    it("are remembered for a commit that changed nothing", async () => {
      const { store } = await stores();
      const first = await commitOnce(store, once("k"), [remove("a")]);
      expect(first).toMatchObject({ results: [{ revision: undefined }] });
      await commit(store, group, put("a", 1));
      expect(await commitOnce(store, once("k"), [remove("a")])).toEqual(repetitionOf(first));
      expect(await contents(store, group)).toEqual([["a", 1]]);
    });

    it("of a group that was never written leave it so", async () => {
      const { store } = await stores();
      const before = await store.heads([group]);
      const first = await commitOnce(store, once("k"), [remove("a")]);
      expect(first.position).toEqual({ epoch: "", revision: 0 });
      expect(await store.heads([group])).toEqual(before);
      expect(await store.list(group, ALL)).toMatchObject({ items: [], position: first.position });
      expect(await store.groups(group.streamName, { limit: 10 })).toEqual([]);
      expect((await store.allGroups({ limit: 10 })).streamCount).toBe(0);
      expect(await commitOnce(store, once("k"), [remove("a")])).toEqual(repetitionOf(first));
      const next = await commit(store, group, put("a", 1));
      expect(next.position.revision).toBe(1);
    });

    it("refuse another request, and change nothing", async () => {
      const { store } = await stores();
      await commitOnce(store, once("k"), [put("a", 1)]);
      const idempotency = once("k", "another");
      const error = await refusal(store, group, [put("a", 2)], { idempotency });
      expect(error).toMatchObject({
        reason: "IDEMPOTENCY_MISMATCH",
        metadata: { field: "idempotency_key" },
      });
      expect(await contents(store, group)).toEqual([["a", 1]]);
      expect(await commitOnce(store, once("k"), [put("a", 1)])).toMatchObject({
        deduplicated: true,
      });
    });

    it("of other callers and other groups are others", async () => {
      const { store } = await stores();
      const keys = [
        once("bc", "f", "a"),
        once("c", "f", "ab"),
        once("c", "f", "a"),
        once("2:bc", "f", "a"),
        once("bc", "f", ""),
      ];
      for (const [i, each] of keys.entries()) {
        const done = await commitOnce(store, each, [put(`${i}`, i)]);
        expect(done.deduplicated).toBeUndefined();
      }
      const other = groupOf("other");
      const done = await commitOnce(store, keys[0]!, [put("0", 0)], {}, other);
      expect(done.deduplicated).toBeUndefined();
      for (const [i, each] of keys.entries())
        expect((await commitOnce(store, each, [put(`${i}`, i)])).deduplicated).toBe(true);
      expect((await store.heads([group]))[0]?.position.revision).toBe(keys.length);
    });

    it("are not remembered for a refused commit", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 1));
      const refused = [
        await refusal(store, group, [put("a", 2, 5)], { idempotency: once("k") }),
        await refusal(store, group, [put("a", 2)], { idempotency: once("k"), expectedEpoch: "x" }),
        await refusal(store, group, [put("b", 1), mark("a", "x", 0)], { idempotency: once("k") }),
      ];
      expect(refused.map(({ reason }) => reason)).toEqual([
        "REVISION_MISMATCH",
        "EPOCH_MISMATCH",
        "REVISION_MISMATCH",
      ]);
      expect(await store.recall?.(group, once("k"))).toBeUndefined();
      const done = await commitOnce(store, once("k", "another"), [put("a", 2)]);
      expect(done).toMatchObject({ position: { revision: 2 } });
      expect(done.deduplicated).toBeUndefined();
    });

    it("make a repetition succeed whatever it expects", async () => {
      const { store } = await stores();
      const idempotency = once("k");
      const mutations = [put("a", 1, 0), mark("text", "x", 0)];
      const first = await commitOnce(store, idempotency, mutations, { expectedEpoch: "" });
      const again = await commitOnce(store, idempotency, mutations, { expectedEpoch: "" });
      expect(again).toEqual(repetitionOf(first));
    });

    it("are recalled whatever the fingerprint", async () => {
      const { store } = await stores();
      expect(await store.recall?.(group, once("k"))).toBeUndefined();
      const { position } = await commitOnce(store, once("k", "first"), [
        put("a", 1),
        mark("a2", ""),
        put("a", 2),
        remove("none"),
      ]);
      const remembered = { fingerprint: "first", position, effects: "ccu-" };
      expect(await store.recall?.(group, once("k", "first"))).toEqual(remembered);
      expect(await store.recall?.(group, once("k", "second"))).toEqual(remembered);
      expect(await store.recall?.(group, once("k2"))).toBeUndefined();
      expect(await store.recall?.(group, once("k", "first", "user:bob"))).toBeUndefined();
      expect(await store.recall?.(groupOf("other"), once("k"))).toBeUndefined();
    });

    it("may have the most bytes, and any text", async () => {
      const { store } = await stores();
      const callers = ["", `user:${"é".repeat(147)}`, "with space\0"];
      const keys = ["\0", " ", "h", "n0", "é".repeat(64), "\u{1f600}", "a\nb", "1:x"];
      const all = callers.flatMap((caller) => keys.map((key) => once(key, "a_-Z9", caller)));
      const first = await Promise.all(
        all.map((each, i) => commitOnce(store, each, [put(`${i}`, i)])),
      );
      for (const [i, each] of all.entries())
        expect(await commitOnce(store, each, [put(`${i}`, i)])).toEqual(repetitionOf(first[i]!));
    });

    it.each<[string, Mutation]>([
      ["puts", put("a", 1)],
      ["reduces", mark("a", "x")],
    ])("let one of many equal %s at the same time take effect (G1)", async (_, mutation) => {
      const { store } = await stores();
      const same: Commit = { mutations: [mutation], idempotency: once("k") };
      const different: Commit = { ...same, idempotency: once("k", "another") };
      const outcomes = await Promise.all([
        ...Array.from({ length: 20 }, () => store.run(group, [same])),
        store.run(group, [same, same, { mutations: [mark("b", "y")] }, same]),
        store.run(group, [different]),
      ]);
      const flat = outcomes.flat();
      const refused = flat.filter(({ ok }) => !ok);
      expect(refused).toMatchObject([{ error: { reason: "IDEMPOTENCY_MISMATCH" } }]);
      expect(flat.filter(isRepeated)).toHaveLength(22);
      expect(await changesSince(store, group, 0)).toMatchObject([
        { itemId: "a", type: "create" },
        { itemId: "b", type: "create" },
      ]);
      const first = flat.find((outcome) => !isRepeated(outcome)) as Committed;
      for (const each of flat.filter(isRepeated)) expect(each).toEqual(repetitionOf(first));
    });

    it("are forgotten after the window", async () => {
      const clock = testClock();
      const { store } = await stores({ clock, idempotencyWindowMs: WINDOW });
      await commitOnce(store, once("k"), [mark("a", "x")]);
      clock.nowMs += WINDOW - 1;
      // A repetition does not extend it.
      expect(isRepeated(await commitOnce(store, once("k"), [mark("a", "x")]))).toBe(true);
      clock.nowMs += 1;
      expect(await store.recall?.(group, once("k"))).toBeUndefined();
      expect(isRepeated(await commitOnce(store, once("k", "new"), [mark("a", "y")]))).toBe(false);
      expect(await contents(store, group)).toEqual([["a", "xy"]]);
      clock.nowMs += WINDOW - 1;
      expect(isRepeated(await commitOnce(store, once("k", "new"), [mark("a", "y")]))).toBe(true);
    });

    it("last their whole window when the clock goes back", async () => {
      const clock = testClock();
      const { store } = await stores({ clock, idempotencyWindowMs: WINDOW });
      await commitOnce(store, once("k1"), [put("a", 1)]);
      clock.nowMs -= 60 * MINUTE;
      await commitOnce(store, once("k2"), [put("b", 1)]);
      for (const key of ["k1", "k2"]) expect(await store.recall?.(group, once(key))).toBeDefined();
      clock.nowMs += 60 * MINUTE + WINDOW - 1;
      for (const key of ["k1", "k2"]) expect(await store.recall?.(group, once(key))).toBeDefined();
    });

    it("are forgotten, the oldest first, beyond 10,000 of a group", async () => {
      const { store } = await stores();
      for (let at = 0; at < MAX_KEYS; at += 1000) await store.run(group, keysOnly(at, 1000));
      const known = async (n: number) => (await store.recall?.(group, once(`k${n}`))) !== undefined;
      expect([await known(0), await known(MAX_KEYS - 1)]).toEqual([true, true]);
      await store.run(group, keysOnly(MAX_KEYS, 1));
      expect([await known(0), await known(1), await known(MAX_KEYS)]).toEqual([false, true, true]);
      await commitOnce(store, once("k0"), [put("a", 1)]);
      expect([await known(0), await known(1), await known(2)]).toEqual([true, false, true]);
      // Other groups have their own.
      await commitOnce(store, once("k0"), [put("a", 1)], {}, groupOf("other"));
      expect(await known(2)).toBe(true);
    });

    it("keep an empty group until they expire", async () => {
      const clock = testClock();
      const history = { maxAgeMs: MINUTE };
      const { store, sweep } = await stores({ clock, history, idempotencyWindowMs: WINDOW });
      const first = await commitOnce(store, once("k"), [put("a", 1)]);
      const { position } = await commit(store, group, remove("a"));
      const only = groupOf("only");
      await commitOnce(store, once("k"), [remove("a")], {}, only);
      for (let minutes = 1; minutes < 10; minutes++) {
        clock.nowMs += MINUTE;
        await sweep();
        expect((await store.heads([group]))[0]?.position).toEqual(position);
        expect(await commitOnce(store, once("k"), [put("a", 1)])).toEqual(repetitionOf(first));
        expect(isRepeated(await commitOnce(store, once("k"), [remove("a")], {}, only))).toBe(true);
      }
      clock.nowMs += WINDOW;
      await sweep();
      await sweep();
      expect(await store.heads([group, only])).toEqual(
        [group, only].map(() => ({ position: { epoch: "", revision: 0 }, timestamp: 0 })),
      );
      const next = await commitOnce(store, once("k"), [put("a", 1)]);
      expect(next.position.revision).toBe(1);
      expect(next.position.epoch).not.toBe(position.epoch);
    });

    it("of a group in use are forgotten by sweeps", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, idempotencyWindowMs: WINDOW });
      await commit(store, group, put("a", 1));
      await store.run(group, keysOnly(0, 300));
      clock.nowMs += 2 * WINDOW;
      for (let i = 0; i < 5; i++) await sweep();
      await store.run(group, keysOnly(0, 300));
      expect(await store.recall?.(group, once("k299"))).toBeDefined();
      expect(await contents(store, group)).toEqual([["a", 1]]);
    });

    it("hold for commits that return limited values, beside others that do not", async () => {
      const { store } = await stores();
      const value = "x".repeat(100);
      const rest = { maxReturnBytes: 1000 };
      const mutations: Mutation[] = [{ kind: "put", itemId: "a", value: Value.of(value) }];
      const first = await commitOnce(store, once("k"), mutations, rest);
      expect(await commitOnce(store, once("k"), mutations, rest)).toEqual(repetitionOf(first));
      const mixed = [put("b", 1), mark("c", "x")];
      const [one, two, three] = await store.run(group, [
        { mutations: mixed, idempotency: once("m") },
        { mutations: mixed, idempotency: once("m"), ...rest },
        { mutations: mixed, idempotency: once("k") },
      ]);
      expect(two).toEqual(repetitionOf(one as Committed));
      expect(three).toEqual(repetitionOf(first));
    });
  });
}
