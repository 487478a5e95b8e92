import type { Item } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";

const HOUR_MS = 3_600_000;
const TEN_YEARS_MS = 3650 * 24 * HOUR_MS;
/** Clocks of a service and of a server behind it may differ in their milliseconds. */
const CLOCKS_MS = 50;

/** Lifetimes that no write may ask for, in milliseconds. */
const REFUSED = [0, 1, 999, -1, -1000, 1000.5, 1e-6, TEN_YEARS_MS + 1, 1.1 * TEN_YEARS_MS];

/** Items with a lifetime: `ttl`, `expire_time`, and the change that ends them. */
export function lifetimesSuite(door: Door, kind: StoreKind): void {
  describe("an item with a lifetime", () => {
    const at = openDoor(door, kind);
    const group = () => ({ streamName: uniqueName("lifetimes"), groupId: "g" });

    it("has its expire time wherever it is read", async () => {
      const key = group();
      const began = Date.now();
      await at.client.set({ ...key, itemId: "set", data: 1, ttlMs: HOUR_MS });
      await at.client.update({ ...key, itemId: "update", ops: [], ttlMs: 2 * HOUR_MS });
      await at.client.batch({
        ...key,
        mutations: [
          { set: { itemId: "a", data: 1, ttlMs: 1000.0 * 3600 } },
          { update: { itemId: "b", ops: [], ttlMs: TEN_YEARS_MS } },
          { set: { itemId: "c", data: 1 } },
        ],
      });
      const took = Date.now() - began;
      const hours = { set: 1, update: 2, a: 1, b: TEN_YEARS_MS / HOUR_MS, c: undefined };
      const expectEnds = (items: readonly Item[]) => {
        expect(items.map(({ itemId }) => itemId)).toEqual(Object.keys(hours));
        for (const [i, ttl] of Object.values(hours).entries()) {
          const { expireTime } = items[i] as Item;
          if (ttl === undefined) expect(expireTime).toBeUndefined();
          else {
            const late = (expireTime?.getTime() ?? 0) - began - ttl * HOUR_MS;
            expect(late).toBeGreaterThanOrEqual(-CLOCKS_MS);
            expect(late).toBeLessThanOrEqual(took + CLOCKS_MS);
          }
        }
      };
      const items = [];
      for (const itemId of Object.keys(hours)) items.push(await at.client.get({ ...key, itemId }));
      expectEnds(items as Item[]);
      expectEnds((await at.client.list(key)).items);
      const follower = await Follower.open(at.client, { ...key, window: 10 });
      expectEnds((await follower.sync()).flatMap((part) => part.items));
      await follower.close();
    });

    it("is deleted at most 1 s after its expire time, by a change with a cause, in order and in history", async () => {
      const key = group();
      await at.client.set({ ...key, itemId: "stays", data: 0, ttlMs: HOUR_MS });
      const follower = await Follower.open(at.client, key);
      await follower.sync();
      await at.client.batch({
        ...key,
        mutations: [
          { set: { itemId: "a", data: { n: 1 }, ttlMs: 1000 } },
          { update: { itemId: "b", ops: [], ttlMs: 1001 } },
        ],
      });
      const ends = new Map<string, number>();
      for (const { itemId, expireTime } of (await at.client.list(key)).items)
        ends.set(itemId, expireTime?.getTime() ?? 0);
      await follower.reach(3);
      const gone = { kind: "change", type: "delete", author: "", cause: "expired" };
      for (const [itemId, data] of [["a", { n: 1 }] as const, ["b", {}] as const]) {
        const change = await follower.expectAfterHeartbeats("change");
        expect(change).toMatchObject({ ...gone, itemId, data });
        const late = change.timestamp - (ends.get(itemId) ?? 0);
        expect(late).toBeGreaterThanOrEqual(0);
        expect(late).toBeLessThanOrEqual(1000);
      }
      expect((await at.client.list(key)).items.map(({ itemId }) => itemId)).toEqual(["stays"]);
      await at.client.delete({ ...key, itemId: "stays" });
      const { changes } = await at.client.history(key);
      expect(changes.map(({ type, cause }) => [type, cause])).toEqual([
        ...Array.from({ length: 3 }, () => ["create", undefined]),
        ["delete", "expired"],
        ["delete", "expired"],
        ["delete", undefined],
      ]);
      await follower.close();
    });

    it("does not expire after a set without one; an update keeps its end unless it has a ttl", async () => {
      const key = { ...group(), itemId: "a" };
      const end = async () => (await at.client.get(key))?.expireTime;
      await at.client.set({ ...key, data: {}, ttlMs: HOUR_MS });
      const first = await end();
      expect(first).toBeInstanceOf(Date);
      await at.client.update({ ...key, ops: [{ type: "set", path: "n", value: 1 }] });
      expect(await end()).toEqual(first);
      await at.client.update({ ...key, ops: [], ttlMs: 2 * HOUR_MS });
      expect((await end())?.getTime()).toBeGreaterThan((first?.getTime() ?? 0) + HOUR_MS / 2);
      await at.client.set({ ...key, data: {} });
      expect(await end()).toBeUndefined();
    });

    it.each(REFUSED)("is refused with one of %d ms, and nothing changes", async (ttlMs) => {
      const key = group();
      const refused = (field: string, more: object = {}) => ({
        code: "invalid_argument",
        reason: "REQUEST_INVALID",
        metadata: { field, ...more },
        message: expect.stringMatching(
          /ttl is -?[\d.e-]+ ms; it may be whole milliseconds from 1 s to 10 years/,
        ) as unknown,
      });
      const a = { ...key, itemId: "a" };
      await expect(at.client.set({ ...a, data: 1, ttlMs })).rejects.toMatchObject(refused("ttl"));
      await expect(at.client.update({ ...a, ops: [], ttlMs })).rejects.toMatchObject(
        refused("ttl"),
      );
      const set = { set: { itemId: "a", data: 1 } };
      await expect(
        at.client.batch({ ...key, mutations: [set, { set: { ...set.set, ttlMs } }] }),
      ).rejects.toMatchObject(refused("mutations[1].set.ttl", { index: "1" }));
      await expect(
        at.client.batch({ ...key, mutations: [{ update: { itemId: "a", ops: [], ttlMs } }] }),
      ).rejects.toMatchObject(refused("mutations[0].update.ttl", { index: "0" }));
      expect((await at.client.list(key)).position.revision).toBe(0);
    });

    it("may have one of exactly 1 s and exactly 10 years", async () => {
      const key = { ...group(), itemId: "a" };
      for (const ttlMs of [1000, TEN_YEARS_MS]) await at.client.set({ ...key, data: 1, ttlMs });
      expect((await at.client.get(key))?.expireTime).toBeInstanceOf(Date);
    });

    it("cannot be in a custom stream", async () => {
      const key = group();
      const held = new Map<string, unknown>();
      const stream = await at.server.service.createStream(key.streamName, {
        set: ({ item_id: id, data }) => void held.set(id, data),
      });
      const a = { ...key, itemId: "a" };
      const refused = { code: "failed_precondition", reason: "CUSTOM_STREAM_UNSUPPORTED" };
      await expect(at.client.set({ ...a, data: 1, ttlMs: 1000 })).rejects.toMatchObject(refused);
      await expect(at.client.update({ ...a, ops: [], ttlMs: 1000 })).rejects.toMatchObject(refused);
      expect(held.size).toBe(0);
      await at.client.set({ ...a, data: 1 });
      expect(held.size).toBe(1);
      await stream.unregister();
    });

    it("is covered by its idempotency key: with another lifetime it is another write", async () => {
      const key = group();
      const mismatch = { code: "invalid_argument", reason: "IDEMPOTENCY_MISMATCH" };
      const { client } = at;
      const a = { ...key, itemId: "a" };
      const set = { itemId: "a", data: 1, ttlMs: HOUR_MS };
      const update = { itemId: "a", ops: [], ttlMs: HOUR_MS };
      const calls = (more: { readonly ttlMs?: number }) => [
        () => client.set({ ...a, ...set, ...more, idempotencyKey: "s" }),
        () => client.update({ ...a, ...update, ...more, idempotencyKey: "u" }),
        () =>
          client.batch({ ...key, mutations: [{ set: { ...set, ...more } }], idempotencyKey: "b" }),
        () =>
          client.batch({
            ...key,
            mutations: [{ update: { ...update, ...more } }],
            idempotencyKey: "c",
          }),
      ];
      for (const call of calls({})) await call();
      const end = (await client.get(a))?.expireTime;
      for (const call of calls({})) expect(await call()).toMatchObject({ deduplicated: true });
      const others = [...calls({ ttlMs: HOUR_MS + 1 }), ...calls({ ttlMs: undefined as never })];
      for (const call of others) await expect(call()).rejects.toMatchObject(mismatch);
      expect((await client.get(a))?.expireTime).toEqual(end);
    });
  });
}
