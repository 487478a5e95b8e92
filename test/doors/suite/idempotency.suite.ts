import type { Json, Mutation, UpdateStep } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";

const MISMATCH = {
  code: "invalid_argument",
  reason: "IDEMPOTENCY_MISMATCH",
  metadata: { field: "idempotency_key" },
  message: expect.stringMatching(/^idempotency_key is that of another write/) as unknown,
};

/** Writes with an idempotency key, and their repetitions. */
export function idempotencySuite(door: Door, kind: StoreKind): void {
  describe("a write with an idempotency key", () => {
    const at = openDoor(door, kind);
    const group = () => ({ streamName: uniqueName("once"), groupId: "g" });
    const increment: readonly UpdateStep[] = [{ type: "increment", path: "n", by: 1 }];
    const items = async (key: ReturnType<typeof group>) =>
      (await at.client.list(key)).items.map(({ itemId, data }): [string, Json] => [itemId, data]);

    it("takes effect once: its repetition has the first position and created, and no values", async () => {
      const key = group();
      const a = { ...key, itemId: "a" };
      const calls = [
        () => at.client.set({ ...a, data: { n: 1 }, idempotencyKey: "k1" }),
        () => at.client.set({ ...a, data: { n: 2 }, idempotencyKey: "k2" }),
        () => at.client.update({ ...a, ops: increment, idempotencyKey: "k3" }),
        () => at.client.update({ ...key, itemId: "b", ops: increment, idempotencyKey: "k4" }),
        () => at.client.delete({ ...key, itemId: "b", idempotencyKey: "k5" }),
        () => at.client.delete({ ...key, itemId: "b", idempotencyKey: "k6" }),
      ];
      const first = [];
      for (const call of calls) first.push(await call());
      const repeated = first.map((done) => {
        const { position } = done;
        if (!("created" in done)) return { oldValue: undefined, position, deduplicated: true };
        const { created } = done;
        const errors = "errors" in done && { errors: [] };
        return {
          ...{ oldValue: undefined, newValue: undefined, created, position },
          ...{ ...errors, deduplicated: true },
        };
      });
      expect(first.map(({ position }) => position?.revision)).toEqual([1, 2, 3, 4, 5, undefined]);
      expect(first.map((done) => "created" in done && done.created)).toEqual([
        ...[true, false, false, true, false, false],
      ]);
      for (const done of first) expect(done).not.toHaveProperty("deduplicated");
      for (const [i, call] of calls.entries()) expect(await call()).toEqual(repeated[i]);
      expect(await items(key)).toEqual([["a", { n: 3 }]]);
      await at.client.delete(a);
      for (const [i, call] of calls.entries()) expect(await call()).toEqual(repeated[i]);
      expect(await items(key)).toEqual([]);
      expect((await at.client.list(key)).position.revision).toBe(6);
    });

    it.each([false, true])("may be a batch (returnValues: %s)", async (returnValues) => {
      const key = group();
      await at.client.set({ ...key, itemId: "old", data: 1 });
      const mutations: readonly Mutation[] = [
        { set: { itemId: "a", data: { n: 1 }, expectedRevision: 0 } },
        { update: { itemId: "a", ops: increment } },
        { delete: { itemId: "none" } },
        { delete: { itemId: "old" } },
      ];
      const request = { ...key, mutations, returnValues, idempotencyKey: "k" };
      const first = await at.client.batch(request);
      const again = await at.client.batch(request);
      expect(again).toEqual({
        position: first.position,
        deduplicated: true,
        results: first.results.map(({ kind: of, position }) => ({
          ...{ kind: of, position, oldValue: undefined, newValue: undefined, errors: [] },
        })),
      });
      expect(first.results.map(({ position }) => position?.revision)).toEqual([2, 3, undefined, 4]);
      // Which values a request returns is not what it does.
      const other = { ...request, returnValues: !returnValues };
      expect(await at.client.batch(other)).toMatchObject({ deduplicated: true });
      expect(await items(key)).toEqual([["a", { n: 2 }]]);
    });

    it("is announced once", async () => {
      const key = group();
      const follower = await Follower.open(at.client, key);
      await follower.sync();
      const set = { ...key, itemId: "a", data: 1, idempotencyKey: "k" };
      await at.client.set(set);
      await at.client.set(set);
      await at.client.set({ ...key, itemId: "b", data: 2 });
      expect(await follower.expect("change")).toMatchObject({ itemId: "a" });
      expect(await follower.expect("change")).toMatchObject({ itemId: "b" });
      await follower.close();
    });

    it("is refused when the key is that of another request of the group", async () => {
      const key = group();
      const { client } = at;
      const a = { ...key, itemId: "a" };
      const idempotencyKey = "k";
      const set = { ...a, data: { n: 1 }, idempotencyKey };
      const update = { ...key, itemId: "u", ops: increment, idempotencyKey: "u" };
      const mutations: readonly Mutation[] = [{ set: { itemId: "b", data: 1 } }];
      const batch = { ...key, mutations, idempotencyKey: "b" };
      const { position } = await client.set(set);
      await client.update(update);
      await client.batch(batch);
      const others = [
        () => client.set({ ...set, data: { n: 2 } }),
        () => client.set({ ...set, data: null }),
        () => client.set({ ...set, itemId: "a2" }),
        () => client.set({ ...set, expectedRevision: 0 }),
        () => client.set({ ...set, expectedEpoch: position.epoch }),
        () => client.set({ ...set, expectedEpoch: "" }),
        () => client.update({ ...a, ops: increment, idempotencyKey }),
        () => client.update({ ...a, ops: [], idempotencyKey }),
        () => client.delete({ ...a, idempotencyKey }),
        () => client.batch({ ...key, mutations: [{ set: { ...a, data: 1 } }], idempotencyKey }),
        () => client.update({ ...update, ops: [] }),
        () => client.update({ ...update, ops: [...increment, ...increment] }),
        () => client.update({ ...update, ops: [{ type: "increment", path: "n", by: 2 }] }),
        () => client.update({ ...update, ops: [{ type: "decrement", path: "n", by: 1 }] }),
        () => client.update({ ...update, ops: [{ type: "increment", path: "m", by: 1 }] }),
        () => client.batch({ ...batch, mutations: [...mutations, ...mutations] }),
        () => client.batch({ ...batch, mutations: [{ delete: { itemId: "b" } }] }),
        () => client.batch({ ...batch, mutations: [{ set: { itemId: "b", data: "1" } }] }),
        () => client.batch({ ...batch, expectedEpoch: position.epoch }),
      ];
      for (const other of others) await expect(other()).rejects.toMatchObject(MISMATCH);
      expect(await items(key)).toEqual([
        ["a", { n: 1 }],
        ["u", { n: 1 }],
        ["b", 1],
      ]);
      expect(await client.set(set)).toMatchObject({ deduplicated: true });
    });

    it("may have the key of a write of another group", async () => {
      const key = group();
      const set = { ...key, itemId: "a", data: 1, idempotencyKey: "k" };
      await at.client.set(set);
      const done = await at.client.set({ ...set, groupId: "h", data: 2 });
      expect(done).not.toHaveProperty("deduplicated");
      expect(await at.client.set({ ...set, streamName: uniqueName("once") })).not.toHaveProperty(
        "deduplicated",
      );
    });

    it("is a repetition whatever the order of the keys in its objects", async () => {
      const key = group();
      const set = { ...key, itemId: "a", idempotencyKey: "k" };
      const data = { b: [{ y: 1, x: "{" }], a: { d: null, c: 2 }, 10: 1, 9: 1 };
      const other = { 9: 1, 10: 1, a: { c: 2, d: null }, b: [{ x: "{", y: 1 }] };
      const first = await at.client.set({ ...set, data });
      expect(await at.client.set({ ...set, data: other })).toMatchObject({
        deduplicated: true,
        position: first.position,
      });
      const swapped = { ...other, a: { c: null, d: 2 } };
      await expect(at.client.set({ ...set, data: swapped })).rejects.toMatchObject(MISMATCH);
    });

    it("that was refused is not remembered", async () => {
      const key = group();
      const set = { ...key, itemId: "a", data: 1, idempotencyKey: "k" };
      await expect(at.client.set({ ...set, expectedRevision: 7 })).rejects.toMatchObject({
        reason: "REVISION_MISMATCH",
      });
      expect(await at.client.set(set)).toMatchObject({ created: true, newValue: 1 });
    });

    it("succeeds when it is repeated, although what it expected has changed", async () => {
      const key = group();
      const set = { ...key, itemId: "a", data: 1, idempotencyKey: "k" };
      const guarded = { ...set, expectedRevision: 0, expectedEpoch: "" };
      const { position } = await at.client.set(guarded);
      expect(await at.client.set(guarded)).toMatchObject({ position, deduplicated: true });
    });

    it("takes effect once when it is sent many times at once (G1)", async () => {
      const key = group();
      const update = {
        ...key,
        itemId: "a",
        ops: increment,
        idempotencyKey: "\u{1f600}".repeat(32),
      };
      const all = await Promise.all(Array.from({ length: 20 }, () => at.client.update(update)));
      expect(all.filter(({ deduplicated }) => deduplicated === true)).toHaveLength(19);
      for (const { position } of all) expect(position).toEqual(all[0]?.position);
      expect(await items(key)).toEqual([["a", { n: 1 }]]);
    });
  });
}
