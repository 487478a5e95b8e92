import { describe, expect, it } from "vitest";
import { GROUP, group, item, starter } from "./built-in-fixture.ts";

const start = starter();

describe("stream::set", () => {
  it("returns the old value, null for a missing item, and the new one", async () => {
    const { service, call } = start();
    expect(await call("set", { ...item, data: { a: [null, "é"] } })).toStrictEqual({
      old_value: null,
      new_value: { a: [null, "é"] },
    });
    expect(await call("set", { ...item, data: null })).toStrictEqual({
      old_value: { a: [null, "é"] },
      new_value: null,
    });
    expect(await call("set", { ...item, data: false })).toStrictEqual({
      old_value: null,
      new_value: false,
    });
    expect(await service.get({ ...GROUP, itemId: "m1" })).toMatchObject({
      data: false,
      revision: 3,
    });
  });
});

describe("a lifetime in the payload of stream::set and stream::update", () => {
  it('is a duration such as "30s"; null counts as absent', async () => {
    const { service, call } = start();
    const expectEnd = async (seconds: number | undefined) => {
      const stored = await service.get({ ...GROUP, itemId: "m1" });
      const { updateTime, expireTime } = stored ?? {};
      const lifetime = (expireTime?.getTime() ?? NaN) - (updateTime?.getTime() ?? NaN);
      expect(lifetime).toBe(seconds === undefined ? NaN : seconds * 1000);
    };
    await call("set", { ...item, data: {}, ttl: "30s", while_connected: false });
    await expectEnd(30);
    await call("update", { ...item, ops: [], ttl: "1.5s" });
    await expectEnd(1.5);
    await call("set", { ...item, data: {}, ttl: null, while_connected: null });
    await expectEnd(undefined);
  });
});

describe("stream::get", () => {
  it("returns the bare value, including null, and nothing for a missing item", async () => {
    const { call } = start();
    expect(await call("get", item)).toBeUndefined();
    for (const data of [{ a: 1 }, "text", 0, false, null]) {
      await call("set", { ...item, data });
      expect(await call("get", item)).toStrictEqual(data);
    }
    await call("delete", item);
    expect(await call("get", item)).toBeUndefined();
  });
});

describe("stream::update", () => {
  it("returns the old value, null for a missing item, and the new one", async () => {
    const { call } = start();
    const ops = [{ type: "increment", path: "n", by: 2 }];
    expect(await call("update", { ...item, ops })).toStrictEqual({
      old_value: null,
      new_value: { n: 2 },
    });
    expect(await call("update", { ...item, ops })).toStrictEqual({
      old_value: { n: 2 },
      new_value: { n: 4 },
    });
    expect(await call("update", { ...item, ops: [] })).toStrictEqual({
      old_value: { n: 4 },
      new_value: { n: 4 },
    });
  });

  it("has errors only when steps were skipped", async () => {
    const { call } = start();
    const ops = [
      { type: "set", path: "text", value: "x" },
      { type: "increment", path: "text", by: 1 },
      { type: "append", path: ["text"], value: "y" },
      { type: "set", path: "__proto__", value: 1 },
    ];
    expect(await call("update", { ...item, ops })).toStrictEqual({
      old_value: null,
      new_value: { text: "xy" },
      errors: [
        { op_index: 1, code: "increment.not_number", message: expect.any(String) as unknown },
        { op_index: 3, code: "set.path.proto_polluted", message: expect.any(String) as unknown },
      ],
    });
  });
});

describe("stream::delete", () => {
  it("returns the old value, null for a missing item", async () => {
    const { service, call } = start();
    expect(await call("delete", item)).toStrictEqual({ old_value: null });
    await call("set", { ...item, data: { a: 1 } });
    expect(await call("delete", item)).toStrictEqual({ old_value: { a: 1 } });
    expect(await call("delete", item)).toStrictEqual({ old_value: null });
    expect((await service.list(GROUP)).position.revision).toBe(2);
  });
});

describe("stream::send", () => {
  it("returns null, and accepts the other names of its fields", async () => {
    const { service, call } = start();
    const frames = await service.subscribe(GROUP);
    const payloads = [
      { type: "a", data: 1, item_id: "m1" },
      { event_type: "b", data: null, id: "m2" },
      { type: "c", event_type: "ignored", data: [1], item_id: "m3", id: "ignored" },
      { data: "plain" },
      { type: null, event_type: "d", data: 1, item_id: null, id: "m4" },
      { type: "e", data: 1, item_id: "" },
    ];
    for (const payload of payloads) expect(await call("send", { ...group, ...payload })).toBeNull();
    await frames.next();
    const received: unknown[] = [];
    for (const _ of payloads) {
      const { value } = await frames.next();
      if (value?.kind === "event") received.push([value.type, value.itemId, value.data]);
    }
    expect(received).toEqual([
      ["a", "m1", 1],
      ["b", "m2", null],
      ["c", "m3", [1]],
      ["message", undefined, "plain"],
      ["d", "m4", 1],
      ["e", undefined, 1],
    ]);
    await frames.return?.();
  });
});

describe("stream::list", () => {
  it("returns all bare values in creation order", async () => {
    const { call } = start();
    expect(await call("list", group)).toStrictEqual([]);
    for (const [itemId, data] of [
      ["b", { n: 1 }],
      ["a", null],
      ["c", "x"],
    ] as const)
      await call("set", { ...group, item_id: itemId, data });
    expect(await call("list", group)).toStrictEqual([{ n: 1 }, null, "x"]);
  });

  it("returns them from the newest on request", async () => {
    const { call, fill } = start();
    await fill(1200, (i) => i);
    const ascending = Array.from({ length: 1200 }, (_, i) => i);
    expect(await call("list", { ...group, descending: true })).toStrictEqual(
      ascending.toReversed(),
    );
    for (const descending of [false, null])
      expect(await call("list", { ...group, descending })).toStrictEqual(ascending);
    await expect(call("list", { ...group, descending: "yes" })).rejects.toMatchObject({
      message: "descending is not a boolean; it may be true or false.",
    });
  });

  it("reads several pages, by count and by bytes", async () => {
    const { call, fill } = start();
    await fill(2500, (i) => i);
    expect(await call("list", group)).toStrictEqual(Array.from({ length: 2500 }, (_, i) => i));
    const large = "x".repeat(1_000_000);
    for (let i = 0; i < 5; i++)
      await call("set", { ...group, group_id: "large", item_id: `${i}`, data: large });
    expect(await call("list", { ...group, group_id: "large" })).toStrictEqual(
      Array.from({ length: 5 }, () => large),
    );
  });

  it("is refused when the values do not fit into one response", async () => {
    const { call, fill } = start({ functionLimits: { maxBuiltInResultBytes: 10_000 } });
    await fill(90, () => "x".repeat(98));
    expect(await call("list", group)).toHaveLength(90);
    await fill(110, () => "x".repeat(98));
    await expect(call("list", group)).rejects.toMatchObject({
      code: "STREAM_GET_GROUP_ERROR",
      message: expect.stringMatching(/^RESPONSE_TOO_LARGE: .+ 10000 bytes/) as unknown,
    });
  });
});

describe("stream::list_groups", () => {
  it("returns the ids of all groups, sorted by UTF-8 bytes, over several pages", async () => {
    const { call } = start();
    expect(await call("list_groups", { stream_name: "chat" })).toStrictEqual([]);
    const ids = Array.from({ length: 1100 }, (_, i) => `g${String(i).padStart(4, "0")}`);
    for (const groupId of [...ids, "é", "\u{1f600}"].toReversed())
      await call("set", { ...item, group_id: groupId, data: 1 });
    await call("set", { ...item, stream_name: "other", data: 1 });
    expect(await call("list_groups", { stream_name: "chat" })).toStrictEqual([
      ...ids,
      "é",
      "\u{1f600}",
    ]);
  });
});

describe("stream::list_all", () => {
  it("returns all streams with their groups, each once, over several pages", async () => {
    const { call } = start();
    expect(await call("list_all")).toStrictEqual({ stream: [], count: 0 });
    const ids = Array.from({ length: 1100 }, (_, i) => `g${String(i).padStart(4, "0")}`);
    for (const groupId of ids) await call("set", { ...item, group_id: groupId, data: 1 });
    await call("set", { ...item, stream_name: "a", data: 1 });
    await call("set", { ...item, stream_name: "z", data: 1 });
    expect(await call("list_all", {})).toStrictEqual({
      stream: [
        { id: "a", groups: ["lobby"] },
        { id: "chat", groups: ids },
        { id: "z", groups: ["lobby"] },
      ],
      count: 3,
    });
  });
});

describe("an idempotency key in a payload", () => {
  it("makes the repetition of each write say what the first one did", async () => {
    const { service, call } = start();
    const set = { ...item, data: { n: 1 }, idempotency_key: "k1" };
    const ops = [{ type: "increment", path: "n", by: 2 }];
    const update = { ...item, ops, idempotency_key: "k2" };
    const remove = { ...item, idempotency_key: "k3" };
    const none = { ...item, item_id: "none", idempotency_key: "k4" };
    await call("set", set);
    expect(await call("update", update)).toStrictEqual({
      old_value: { n: 1 },
      new_value: { n: 3 },
    });
    await call("delete", remove);
    await call("delete", none);
    const { position } = await service.list(GROUP);
    const at = (revision: number) => ({ epoch: position.epoch, revision });
    const nothing = { old_value: null, new_value: null, deduplicated: true };
    expect(await call("set", set)).toStrictEqual({ ...nothing, created: true, position: at(1) });
    expect(await call("update", update)).toStrictEqual({
      ...{ ...nothing, created: false, position: at(2) },
    });
    expect(await call("delete", remove)).toStrictEqual({
      ...{ old_value: null, deduplicated: true, position: at(3) },
    });
    expect(await call("delete", none)).toStrictEqual({ old_value: null, deduplicated: true });
    expect(await service.list(GROUP)).toMatchObject({ items: [], position });
    await expect(call("set", { ...set, data: 2 })).rejects.toMatchObject({
      code: "STREAM_SET_ERROR",
      message: expect.stringMatching(/^IDEMPOTENCY_MISMATCH: /) as unknown,
    });
  });

  it("is one of the function that makes the call", async () => {
    const { service } = start();
    const payload = { ...item, data: 1, idempotency_key: "k" };
    const write = async () => service.trigger({ function_id: "stream::set", payload });
    for (const id of ["f", "g"]) await service.registerFunction(id, write);
    const call = async (id: string) => service.trigger({ function_id: id, payload: {} });
    for (const done of [await call("f"), await call("g"), await write()])
      expect(done).not.toHaveProperty("deduplicated");
    for (const done of [await call("f"), await call("g"), await write()])
      expect(done).toHaveProperty("deduplicated", true);
  });

  it("may be null, and is refused when it is not text, empty or too long", async () => {
    const { call } = start();
    const set = { ...item, data: 1 };
    expect(await call("set", { ...set, idempotency_key: null })).toMatchObject({ new_value: 1 });
    expect(await call("set", { ...set, idempotency_key: null })).toMatchObject({ new_value: 1 });
    await expect(call("set", { ...set, idempotency_key: 7 })).rejects.toMatchObject({
      code: "deserialization_error",
    });
    for (const key of ["", "x".repeat(129)])
      await expect(call("set", { ...set, idempotency_key: key })).rejects.toMatchObject({
        code: "STREAM_SET_ERROR",
        message: expect.stringMatching(/^REQUEST_INVALID: idempotency_key/) as unknown,
      });
  });
});
