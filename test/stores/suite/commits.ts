import { describe, expect, it } from "vitest";
import { StreamError } from "../../../src/core/errors.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import {
  ALL,
  attempt,
  brief,
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

/** The effects of one commit, and its atomicity. */
export function describeCommits(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");

  describe("commits", () => {
    it("creates, updates and deletes an item and returns the values before and after", async () => {
      const { store } = await stores();
      const created = await commit(store, group, put("a", { n: 1 }));
      const updated = await commit(store, group, put("a", null));
      const deleted = await commit(store, group, remove("a"));
      expect(created.results[0]).toMatchObject({ revision: 1, oldValue: undefined });
      expect(created.results[0]?.newValue?.json()).toEqual({ n: 1 });
      expect(updated.results[0]?.oldValue?.json()).toEqual({ n: 1 });
      expect(updated.results[0]?.newValue?.json()).toBe(null);
      expect(deleted.results[0]?.oldValue?.json()).toBe(null);
      expect(deleted.results[0]).toMatchObject({ revision: 3, newValue: undefined });
      const changes = await changesSince(store, group, 0);
      expect(changes).toMatchObject([{ type: "create" }, { type: "update" }, { type: "delete" }]);
    });

    it("takes contiguous revisions from 1 within one epoch", async () => {
      const { store } = await stores();
      const first = await commit(store, group, put("a", 1), put("b", 2));
      const second = await commit(store, group, mark("c", "x"));
      expect(first.results.map(({ revision }) => revision)).toEqual([1, 2]);
      expect(first.position.revision).toBe(2);
      expect(second.position).toEqual({ epoch: first.position.epoch, revision: 3 });
      expect(first.position.epoch).not.toBe("");
    });

    it("distinguishes a stored null from a missing item", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", null));
      expect((await store.get(group, "a")).item?.value.json()).toBe(null);
      expect((await store.get(group, "b")).item).toBeUndefined();
    });

    it("deletes a missing item without a revision, an event or an epoch", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      const outcome = await commit(store, group, remove("a"));
      expect(outcome.results).toEqual([
        { revision: undefined, oldValue: undefined, newValue: undefined, errors: [] },
      ]);
      expect(outcome.position).toEqual({ epoch: "", revision: 0 });
      expect(await store.heads([group])).toEqual([
        { position: { epoch: "", revision: 0 }, timestamp: 0 },
      ]);
      await commit(store, group, put("b", 1), remove("a"), put("c", 1));
      await recorder.received(2);
      expect(recorder.events.map(({ itemId }) => itemId)).toEqual(["b", "c"]);
    });

    it("applies each mutation to the result of those before it", async () => {
      const { store } = await stores();
      const { results } = await commit(
        store,
        group,
        mark("a", "x"),
        mark("a", "y"),
        remove("a"),
        mark("a", "z"),
      );
      expect(results.map(({ oldValue, newValue }) => [oldValue?.json(), newValue?.json()])).toEqual(
        [
          [undefined, "x"],
          ["x", "xy"],
          ["xy", undefined],
          [undefined, "z"],
        ],
      );
      const changes = await changesSince(store, group, 0);
      expect(changes).toMatchObject([
        { type: "create" },
        { type: "update" },
        { type: "delete" },
        { type: "create" },
      ]);
      expect(await contents(store, group)).toEqual([["a", "z"]]);
    });

    it("changes nothing when a later mutation is refused (G1)", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 1), put("b", 1));
      const before = await store.heads([group]);
      const recorder = await listen(store, group);
      const failing = {
        kind: "reduce",
        bytes: 0,
        itemId: "d",
        reduce: () => {
          throw new StreamError("VALUE_TOO_LARGE", "data is too large.");
        },
      } as const;
      const error = await refusal(store, group, [put("a", 2), remove("b"), put("c", 3), failing]);
      expect(error).toMatchObject({
        reason: "VALUE_TOO_LARGE",
        message: "data is too large.",
        metadata: { index: "3" },
      });
      expect(await contents(store, group)).toEqual([
        ["a", 1],
        ["b", 1],
      ]);
      expect(await store.heads([group])).toEqual(before);
      expect(await changesSince(store, group, 2)).toEqual([]);
      await commit(store, group, put("e", 1));
      await recorder.received(1);
      expect(recorder.events).toMatchObject([{ itemId: "e", position: { revision: 3 } }]);
    });

    it("hides internal errors of a reduce from callers", async () => {
      const { store } = await stores();
      const error = await refusal(store, group, [
        {
          kind: "reduce",
          bytes: 0,
          itemId: "a",
          reduce: () => {
            throw new TypeError("secret");
          },
        },
      ]);
      expect(error.reason).toBe("INTERNAL");
      expect(error.message).not.toContain("secret");
      expect(error.metadata).toEqual({});
    });

    it("returns the errors that a reduce reports", async () => {
      const { store } = await stores();
      const errors = [{ opIndex: 1, code: "increment.not_number", message: "It is not a number." }];
      const { results } = await commit(store, group, {
        kind: "reduce",
        bytes: 0,
        itemId: "a",
        reduce: () => ({ value: Value.of({}), errors }),
      });
      expect(results[0]?.errors).toEqual(errors);
    });

    it("commits when the values just fit into the response, and refuses the commit otherwise", async () => {
      const { store } = await stores();
      const small = Value.of("old");
      const large = Value.of("a longer value");
      await commit(store, group, put("a", small.json()));
      const fits = small.size + 2 * large.size;
      const mutations = [put("a", large.json()), remove("missing"), put("b", large.json())];
      expect(await refusal(store, group, mutations, { maxReturnBytes: fits - 1 })).toMatchObject({
        reason: "RESPONSE_TOO_LARGE",
      });
      expect(await contents(store, group)).toEqual([["a", "old"]]);
      expect(await attempt(store, group, mutations, { maxReturnBytes: fits })).toMatchObject({
        ok: true,
      });
    });

    it("keeps the creation time of an item and renews its update time", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      const start = clock.nowMs;
      await commit(store, group, put("a", 1));
      clock.nowMs += 1000;
      await commit(store, group, put("a", 2));
      expect((await store.get(group, "a")).item).toMatchObject({
        revision: 2,
        createTimeMs: start,
        updateTimeMs: start + 1000,
      });
      await commit(store, group, remove("a"), put("a", 3));
      expect((await store.get(group, "a")).item).toMatchObject({
        revision: 4,
        createTimeMs: start + 1000,
      });
    });

    it("gives every event a new timestamp while the clock stands still or goes back", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      const start = clock.nowMs;
      await commit(store, group, put("a", 1), put("b", 1));
      clock.nowMs -= 60_000;
      await commit(store, group, put("c", 1));
      clock.nowMs += 120_000;
      await commit(store, group, put("d", 1));
      const changes = await changesSince(store, group, 0);
      expect(changes).toMatchObject(
        [start, start + 1, start + 2, start + 60_000].map((timestamp) => ({ timestamp })),
      );
      expect(changes).toMatchObject(
        [start, start, start - 60_000, start + 60_000].map((timeMs) => ({ timeMs })),
      );
      expect(await store.heads([group])).toMatchObject([{ timestamp: start + 60_000 }]);
    });

    it("runs the commits of one call in order, and a refusal affects only its own", async () => {
      const { store } = await stores();
      const outcomes = await store.run(group, [
        { mutations: [put("a", 1)] },
        { mutations: [put("a", 2, 0)] },
        { mutations: [mark("b", "x")] },
        { mutations: [mark("b", "y", 2)] },
      ]);
      expect(outcomes.map(({ ok }) => ok)).toEqual([true, false, true, true]);
      expect(await contents(store, group)).toEqual([
        ["a", 1],
        ["b", "xy"],
      ]);
      expect(await store.heads([group])).toMatchObject([{ position: { revision: 3 } }]);
    });

    it("accepts a call without commits", async () => {
      const { store } = await stores();
      expect(await store.run(group, [])).toEqual([]);
    });

    it("orders concurrent writes of one group without loss (G2)", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      const writers = Array.from({ length: 20 }, async (_, writer) => {
        for (let i = 0; i < 10; i++)
          await commit(store, group, mark("shared", `${writer}.${i} `), put(`own-${writer}`, i));
      });
      await Promise.all(writers);
      await recorder.received(400);
      expect(
        recorder.events.map((event) => event.kind === "change" && event.position.revision),
      ).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
      const shared = (await store.get(group, "shared")).item?.value.json();
      const marks = (shared as string).trim().split(" ");
      expect(marks.length).toBe(200);
      for (let writer = 0; writer < 20; writer++) {
        const own = marks.filter((text) => text.startsWith(`${writer}.`));
        expect(own).toEqual(Array.from({ length: 10 }, (_, i) => `${writer}.${i}`));
      }
      expect(await changesSince(store, group, 0)).toEqual(recorder.events);
    });

    it("accepts the largest values and the longest names", async () => {
      const { store } = await stores({ history: { maxBytes: 64 * 1024 * 1024 } });
      const longest = groupOf("\u{1f600}".repeat(64), "é".repeat(128));
      const text = "x".repeat(1024 * 1024 - 10);
      const id = "z".repeat(256);
      await commit(store, longest, put(id, text), put("other", 1));
      await commit(store, longest, put(id, text));
      expect((await store.get(longest, id)).item?.value.json()).toBe(text);
      expect((await store.list(longest, ALL)).items.map(({ itemId }) => itemId)).toEqual([
        id,
        "other",
      ]);
      const changes = await changesSince(store, longest, 0);
      expect(changes).toHaveLength(3);
      expect(await store.groups(longest.streamName, { limit: 10 })).toEqual([longest.groupId]);
    });

    it("returns values unchanged", async () => {
      const { store } = await stores();
      const values = [
        0,
        -1.5e300,
        "",
        "\u0000\u2028 \ud83d\ude00",
        [],
        {},
        { "": { b: [null, true] } },
        9_007_199_254_740_991,
      ];
      for (const [index, value] of values.entries()) {
        const written = put(`v${index}`, value);
        await commit(store, group, written);
        const { item } = await store.get(group, `v${index}`);
        expect(item?.value).toMatchObject(
          written.kind === "put" ? { text: written.value.text, size: written.value.size } : {},
        );
      }
      const listed = (await store.list(group, ALL)).items.map(brief);
      expect(listed.map(([, json]) => json)).toEqual(values);
      const changes = await changesSince(store, group, 0);
      expect(changes === "lost" ? [] : changes.map((change) => plain(change)["value"])).toEqual(
        values,
      );
    });
  });
}
