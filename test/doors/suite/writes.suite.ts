import type { Json } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { nested, textOfBytes } from "../../support/doors/values.ts";

/** Values of every kind, up to the size and depth limits. */
const VALUES: readonly (readonly [string, Json])[] = [
  ["null", null],
  ["true", true],
  ["false", false],
  ["zero", 0],
  ["a fraction", -0.1],
  ["a large number", 1.7976931348623157e308],
  ["a small number", 5e-324],
  ["the largest integer", Number.MAX_SAFE_INTEGER],
  ["an empty string", ""],
  ["a string with everything", 'quote " backslash \\ control \u0000\u0007 line \u2028 emoji 💧'],
  ["an empty array", []],
  ["an empty object", {}],
  ["an object of all kinds", { a: null, b: [1, "2", { c: false }], "": 0, constructor: "c" }],
  ["30 levels", nested(30)],
  ["1 MiB", textOfBytes(1024 * 1024)],
];

/** Names of every kind. */
const NAMES: readonly string[] = [
  "a",
  "x".repeat(256),
  "é".repeat(128),
  "💧".repeat(64),
  " ",
  "a/b:c?d#e%20f",
  "..",
  "\ufeffmarked",
  "\u200b\u202e",
  "__proto__",
  "constructor",
];

/** Set, Get and Delete, and their expectations. */
export function writesSuite(door: Door, kind: StoreKind): void {
  describe("set, get and delete", () => {
    const at = openDoor(door, kind);
    const item = () => ({ streamName: uniqueName("writes"), groupId: "g", itemId: "i" });

    it("create with set, then replace, and return the old value, the new value and the position", async () => {
      const key = item();
      const first = await at.client.set({ ...key, data: { n: 1 } });
      expect(first).toEqual({
        oldValue: undefined,
        newValue: { n: 1 },
        created: true,
        position: { epoch: expect.stringMatching(/./), revision: 1 },
      });
      const second = await at.client.set({ ...key, data: [2] });
      expect(second).toEqual({
        oldValue: { n: 1 },
        newValue: [2],
        created: false,
        position: { epoch: first.position.epoch, revision: 2 },
      });
    });

    it("read an item with its revision and times with get, or nothing when it is missing", async () => {
      const key = item();
      expect(await at.client.get(key)).toBeUndefined();
      const before = Date.now();
      await at.client.set({ ...key, data: "first" });
      const created = await at.client.get(key);
      expect(created).toMatchObject({ itemId: "i", data: "first", revision: 1 });
      expect(created?.createTime).toEqual(created?.updateTime);
      expect(created?.createTime.getTime()).toBeGreaterThanOrEqual(before);
      expect(created?.createTime.getTime()).toBeLessThanOrEqual(Date.now());
      await at.client.set({ ...key, itemId: "other", data: 0 });
      await at.client.set({ ...key, data: "second" });
      const updated = await at.client.get(key);
      expect(updated).toMatchObject({
        data: "second",
        revision: 3,
        createTime: created?.createTime,
      });
    });

    it("return the removed value from delete, which succeeds without a position on a missing item", async () => {
      const key = item();
      expect(await at.client.delete(key)).toEqual({ oldValue: undefined, position: undefined });
      const { position } = await at.client.set({ ...key, data: "there" });
      expect(await at.client.delete(key)).toEqual({
        oldValue: "there",
        position: { epoch: position.epoch, revision: 2 },
      });
      expect(await at.client.get(key)).toBeUndefined();
      expect(await at.client.delete(key)).toEqual({ oldValue: undefined, position: undefined });
      const again = await at.client.set({ ...key, data: "back" });
      expect(again).toMatchObject({
        created: true,
        oldValue: undefined,
        position: { revision: 3 },
      });
    });

    it("distinguish a stored null from a missing item", async () => {
      const key = item();
      expect(await at.client.set({ ...key, data: null })).toMatchObject({
        oldValue: undefined,
        newValue: null,
        created: true,
      });
      expect(await at.client.get(key)).toMatchObject({ data: null });
      expect(await at.client.set({ ...key, data: 1 })).toMatchObject({
        oldValue: null,
        created: false,
      });
      await at.client.set({ ...key, data: null });
      expect(await at.client.delete(key)).toMatchObject({
        oldValue: null,
        position: { revision: 4 },
      });
    });

    it.each(VALUES)("preserve %s", async (_, data) => {
      const key = item();
      expect((await at.client.set({ ...key, data })).newValue).toEqual(data);
      expect((await at.client.get(key))?.data).toEqual(data);
      expect((await at.client.delete(key)).oldValue).toEqual(data);
    });

    it("distinguish items by the bytes of all three names", async () => {
      const prefix = uniqueName("n");
      const keys = NAMES.flatMap((name) => [
        { streamName: name, groupId: prefix, itemId: name },
        { streamName: prefix, groupId: name, itemId: "i" },
        { streamName: prefix, groupId: "g", itemId: name },
      ]);
      keys.push(
        { streamName: `${prefix}:b`, groupId: "c", itemId: "i" },
        { streamName: prefix, groupId: "b:c", itemId: "i" },
        { streamName: prefix, groupId: "caf\u00e9", itemId: "i" },
        { streamName: prefix, groupId: "cafe\u0301", itemId: "i" },
      );
      for (const [data, key] of keys.entries())
        expect(await at.client.set({ ...key, data })).toMatchObject({ created: true });
      for (const [data, key] of keys.entries())
        expect(await at.client.get(key)).toMatchObject({ itemId: key.itemId, data });
    });

    it.each(["set", "update", "delete"] as const)(
      "apply %s only at the expected revision, where 0 means that the item must not exist",
      async (method) => {
        const key = item();
        const write = async (expectedRevision?: number) => {
          const expecting = expectedRevision === undefined ? key : { ...key, expectedRevision };
          if (method === "set") return at.client.set({ ...expecting, data: "new" });
          if (method === "update") return at.client.update({ ...expecting, ops: [] });
          return at.client.delete(expecting);
        };
        const mismatch = (current: number) => ({
          code: "aborted",
          reason: "REVISION_MISMATCH",
          metadata: { current_revision: String(current) },
          message: expect.stringContaining("expected_revision"),
        });
        await expect(write(7)).rejects.toMatchObject(mismatch(0));
        await at.client.set({ ...key, itemId: "other", data: 0 });
        await at.client.set({ ...key, data: "old" });
        await expect(write(0)).rejects.toMatchObject(mismatch(2));
        await expect(write(1)).rejects.toMatchObject(mismatch(2));
        await expect(write(3)).rejects.toMatchObject(mismatch(2));
        expect(await at.client.get(key)).toMatchObject({ data: "old", revision: 2 });
        expect((await write(2)).position).toMatchObject({ revision: 3 });
        await at.client.set({ ...key, data: "next" });
        expect((await write()).position).toMatchObject({ revision: 5 });
        await at.client.delete(key);
        const onMissing = await write(0);
        expect(onMissing.oldValue).toBeUndefined();
        const revisionAfter = method === "delete" ? undefined : 7;
        expect(onMissing.position?.revision).toBe(revisionAfter);
      },
    );

    it.each(["set", "update", "delete"] as const)(
      "apply %s only in the expected epoch, where empty means never written",
      async (method) => {
        const key = item();
        const write = async (expectedEpoch: string) => {
          const expecting = { ...key, expectedEpoch };
          if (method === "set") return at.client.set({ ...expecting, data: "new" });
          if (method === "update") return at.client.update({ ...expecting, ops: [] });
          return at.client.delete(expecting);
        };
        const mismatch = {
          code: "aborted",
          reason: "EPOCH_MISMATCH",
          message: expect.stringContaining("expected_epoch"),
        };
        await expect(write("another")).rejects.toMatchObject(mismatch);
        await write("");
        const { position } = await at.client.set({ ...key, data: "old" });
        await expect(write("")).rejects.toMatchObject(mismatch);
        await expect(write("another")).rejects.toMatchObject(mismatch);
        expect(await at.client.get(key)).toMatchObject({
          data: "old",
          revision: position.revision,
        });
        const done = await write(position.epoch);
        expect(done.position).toEqual({ epoch: position.epoch, revision: position.revision + 1 });
      },
    );

    it("let only one of two writers that expect the same revision succeed", async () => {
      const key = item();
      await at.client.set({ ...key, data: 0 });
      const outcomes = await Promise.allSettled(
        Array.from({ length: 8 }, (_, data) =>
          at.client.set({ ...key, data, expectedRevision: 1 }),
        ),
      );
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect(await at.client.get(key)).toMatchObject({ revision: 2 });
    });
  });
}
