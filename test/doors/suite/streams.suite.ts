import { describe, expect, it } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";

const MESSAGE = {
  type: "object",
  properties: {
    text: { type: "string", pattern: "^[a-z]*$" },
    likes: { type: "integer", maximum: 3 },
    tags: { type: "array", uniqueItems: true },
  },
  required: ["text"],
  additionalProperties: false,
};

/** Settings of streams: schemas, sizes and limits of items. */
export function streamsSuite(door: Door, kind: StoreKind): void {
  describe("settings of streams", () => {
    const at = openDoor(door, kind, {
      streams: {
        "chat-*": { schema: MESSAGE, maxValueBytes: 100 },
        "capped-*": { maxItems: 3 },
      },
    });
    const chat = () => ({ streamName: uniqueName("chat"), groupId: "g", itemId: "a" });
    const mismatch = (field: string, path: string, more: object = {}) => {
      const metadata = door.can.details ? { metadata: { field, path, ...more } } : {};
      return { code: "invalid_argument", reason: "SCHEMA_MISMATCH", ...metadata };
    };
    const tooLarge = (field: string, more: object = {}) => {
      const metadata = door.can.details ? { metadata: { field, ...more } } : {};
      return { code: "invalid_argument", reason: "VALUE_TOO_LARGE", ...metadata };
    };

    it("accept a value that fits its schema", async () => {
      const key = chat();
      const data = { text: "hello", likes: 1 };
      expect(await at.client.set({ ...key, data })).toMatchObject({ newValue: data });
      const ops = [{ type: "increment", path: "likes", by: 2 }] as const;
      expect(await at.client.update({ ...key, ops })).toMatchObject({
        newValue: { text: "hello", likes: 3 },
      });
    });

    it("refuse a value that does not fit, with its path, and change nothing", async () => {
      const key = chat();
      await expect(at.client.set({ ...key, data: { text: 7 } })).rejects.toMatchObject(
        mismatch("data", "/text"),
      );
      await expect(at.client.set({ ...key, data: { text: "A" } })).rejects.toThrow(
        /^data does not fit the schema of its stream: its \/text must match pattern/,
      );
      await expect(at.client.set({ ...key, data: {} })).rejects.toMatchObject(mismatch("data", ""));
      expect(await at.client.get(key)).toBeUndefined();
    });

    it("refuse an update whose result does not fit, and keep the item", async () => {
      const key = chat();
      await at.client.set({ ...key, data: { text: "a", likes: 3 } });
      const update = (...ops: readonly object[]) => at.client.update({ ...key, ops: ops as never });
      await expect(update({ type: "increment", path: "likes", by: 1 })).rejects.toMatchObject(
        mismatch("ops", "/likes"),
      );
      await expect(update({ type: "remove", path: "text" })).rejects.toThrow(
        "the updated value does not fit the schema of its stream",
      );
      await expect(update({ type: "append", path: "text", value: "!" })).rejects.toMatchObject(
        mismatch("ops", "/text"),
      );
      await expect(
        at.client.update({ ...chat(), ops: [{ type: "set", path: "likes", value: 1 }] }),
      ).rejects.toMatchObject(mismatch("ops", ""));
      expect(await at.client.get(key)).toMatchObject({ data: { text: "a", likes: 3 } });
      // What the steps pass through on the way need not fit.
      await update({ type: "remove", path: "text" }, { type: "set", path: "text", value: "b" });
      expect(await at.client.get(key)).toMatchObject({ data: { text: "b", likes: 3 } });
    });

    it("refuse a batch as a whole, and name the mutation", async () => {
      const { itemId: _, ...group } = chat();
      const good = { set: { itemId: "a", data: { text: "a" } } };
      await expect(
        at.client.batch({ ...group, mutations: [good, { set: { itemId: "b", data: { x: 1 } } }] }),
      ).rejects.toMatchObject(mismatch("mutations[1].set.data", "", { index: "1" }));
      const update = { itemId: "a", ops: [{ type: "set", path: "likes", value: 4 }] } as const;
      await expect(
        at.client.batch({ ...group, mutations: [good, { update }] }),
      ).rejects.toMatchObject(mismatch("mutations[1].update.ops", "/likes", { index: "1" }));
      await expect(at.client.batch({ ...group, mutations: [{ update }] })).rejects.toMatchObject(
        mismatch("mutations[0].update.ops", "", { index: "0" }),
      );
      expect((await at.client.list(group)).items).toEqual([]);
    });

    it("refuse values over the size of their stream", async () => {
      const key = chat();
      const { itemId: _, ...group } = key;
      const text = "a".repeat(100);
      await expect(at.client.set({ ...key, data: { text } })).rejects.toMatchObject(
        tooLarge("data"),
      );
      await at.client.set({ ...key, data: { text: "a".repeat(70) } });
      const ops = [{ type: "append", path: "text", value: "a".repeat(40) }] as const;
      await expect(at.client.update({ ...key, ops })).rejects.toMatchObject(tooLarge("ops"));
      await expect(
        at.client.batch({ ...group, mutations: [{ set: { itemId: "b", data: { text } } }] }),
      ).rejects.toMatchObject(tooLarge("mutations[0].set.data", { index: "0" }));
      expect((await at.client.list(group)).items).toHaveLength(1);
    });

    it("do not apply to transient events, nor to other streams", async () => {
      const { itemId: _, ...group } = chat();
      await at.client.send({ ...group, data: { anything: "A".repeat(1000) } });
      const other = { streamName: uniqueName("other"), groupId: "g", itemId: "a" };
      expect(await at.client.set({ ...other, data: 7 })).toMatchObject({ created: true });
    });

    it("keep the newest items within a second", async () => {
      const group = { streamName: uniqueName("capped"), groupId: "g" };
      for (let i = 0; i < 5; i++) await at.client.set({ ...group, itemId: `i${i}`, data: i });
      const itemIds = async () => (await at.client.list(group)).items.map(({ itemId }) => itemId);
      await expect.poll(itemIds, { timeout: 5000 }).toEqual(["i2", "i3", "i4"]);
      await at.client.batch({
        ...group,
        mutations: ["a", "b"].map((itemId) => ({ set: { itemId, data: 1 } })),
      });
      await expect.poll(itemIds, { timeout: 5000 }).toEqual(["i4", "a", "b"]);
    });
  });
}
