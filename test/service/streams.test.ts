import { describe, expect, it, onTestFinished } from "vitest";
import { DEAD_LETTERS, type EngineOptions, createStreamService, memoryStore } from "millrace";
import { memoryStore as plainStore } from "../../src/stores/memory/memory-store.ts";

const TEXT = { type: "object", properties: { text: { type: "string" } }, required: ["text"] };
const chat = { streamName: "chat", groupId: "g" };

function serviceWith(streams: NonNullable<EngineOptions["streams"]>, store = memoryStore()) {
  const service = createStreamService({ store, streams });
  onTestFinished(() => service.close());
  return service;
}

describe("settings of streams in the library", () => {
  it("give streams a history, limit by limit over that of the store", async () => {
    const store = memoryStore({ history: { maxChanges: 3 } });
    const service = serviceWith(
      { chat: { history: { maxChanges: 1 } }, other: { history: { maxBytes: 1e6 } } },
      store,
    );
    const kept = async (streamName: string) => {
      for (let i = 0; i < 5; i++)
        await service.set({ streamName, groupId: "g", itemId: "i", data: { text: "" } });
      return (await service.history({ streamName, groupId: "g" })).changes.length;
    };
    expect([await kept("chat"), await kept("other"), await kept("third")]).toEqual([1, 3, 3]);
  });

  it("are refused when they are invalid, or the store has one history for all streams", () => {
    expect(() => createStreamService({ store: memoryStore(), streams: { "a*b": {} } })).toThrow(
      'streams["a*b"] has a * before its end',
    );
    const { useHistory: _, ...store } = plainStore();
    const streams = { chat: { history: { maxChanges: 1 } } };
    expect(() => createStreamService({ store, streams })).toThrow(
      "streams set a history, but the store has one history for all streams.",
    );
    expect(() => createStreamService({ store, streams: { chat: { maxItems: 1 } } })).not.toThrow();
  });

  it("apply to the stream functions", async () => {
    const service = serviceWith({ chat: { schema: TEXT } });
    const set = (data: unknown) =>
      service.trigger({
        function_id: "stream::set",
        payload: { stream_name: "chat", group_id: "g", item_id: "i", data },
      });
    await expect(set({ txt: "x" })).rejects.toThrow("does not fit the schema of its stream");
    await set({ text: "x" });
    expect(await service.get({ ...chat, itemId: "i" })).toMatchObject({ data: { text: "x" } });
  });

  it("do not apply to streams of the service itself", async () => {
    const service = serviceWith({ "m*": { schema: false, maxItems: 1, maxValueBytes: 1 } });
    await service.registerFunction("f", () => {
      throw new Error("no");
    });
    await service.registerTrigger({
      type: "stream",
      function_id: "f",
      config: { stream_name: "chat" },
    });
    for (const itemId of ["a", "b", "c"]) await service.set({ ...chat, itemId, data: itemId });
    const letters = async () =>
      (await service.list({ streamName: DEAD_LETTERS, groupId: "f" })).items.length;
    await expect.poll(letters).toBe(3);
  });

  it("evict by changes that fire triggers, without an author", async () => {
    const service = serviceWith({ chat: { maxItems: 2 } });
    const fired: unknown[] = [];
    await service.registerFunction("on_delete", (payload) => void fired.push(payload));
    await service.registerTrigger({
      type: "stream",
      function_id: "on_delete",
      config: { stream_name: "chat" },
    });
    await service.registerFunction("writer", async () => {
      for (const itemId of ["a", "b", "c"])
        await service.set({ ...chat, itemId, data: { text: "" } });
    });
    await service.trigger({ function_id: "writer" });
    await expect.poll(() => fired.length, { timeout: 5000 }).toBe(4);
    expect(fired[3]).toMatchObject({ id: "a", event: { type: "delete" } });
    const { changes } = await service.history(chat);
    expect(changes.map(({ author }) => author)).toEqual([
      ...["function:writer", "function:writer", "function:writer"],
      "",
    ]);
  });
});

describe("the settings of a custom stream", () => {
  it("refuse values before its functions are called", async () => {
    const service = serviceWith({ chat: { schema: TEXT, maxValueBytes: 50 } });
    const table = new Map<string, unknown>();
    const called: string[] = [];
    await service.createStream("chat", {
      get: ({ item_id: id }) => table.get(id),
      set({ item_id: id, data }) {
        called.push("set");
        table.set(id, data);
      },
      update({ item_id: id }) {
        called.push("update");
        table.set(id, { text: "by update" });
      },
    });
    const key = { ...chat, itemId: "a" };
    await expect(service.set({ ...key, data: { txt: 1 } })).rejects.toThrow("schema");
    await expect(
      service.update({ ...key, ops: [{ type: "set", path: "text", value: 7 }] }),
    ).rejects.toMatchObject({
      reason: "SCHEMA_MISMATCH",
      metadata: { field: "ops", path: "/text" },
    });
    await expect(
      service.update({ ...key, ops: [{ type: "set", path: "text", value: "x".repeat(60) }] }),
    ).rejects.toMatchObject({ reason: "VALUE_TOO_LARGE" });
    expect(called).toEqual([]);
    await service.set({ ...key, data: { text: "x" } });
    await service.update({ ...key, ops: [{ type: "set", path: "text", value: "y" }] });
    expect(called).toEqual(["set", "update"]);
  });

  it("have no limit of items", async () => {
    const service = serviceWith({ chat: { maxItems: 1 } });
    const values = [{ id: "a" }, { id: "b" }, { id: "c" }];
    const deleted: string[] = [];
    await service.createStream("chat", {
      list: () => values,
      delete: ({ item_id: id }) => void deleted.push(id),
    });
    await service.set({ ...chat, itemId: "d", data: { id: "d" } });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(deleted).toEqual([]);
    expect((await service.list(chat)).items).toHaveLength(3);
  });
});
