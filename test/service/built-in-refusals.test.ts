import { describe, expect, it } from "vitest";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { FUNCTIONS, GROUP, group, item, starter } from "./built-in-fixture.ts";

const start = starter();

describe("every function of streams", () => {
  it.each(FUNCTIONS)("ignores unknown fields: %s", async (functionId, _code, payload) => {
    const { service } = start();
    await service.trigger({
      function_id: functionId,
      payload: { ...payload, page_size: "x", trace: { a: 1 }, return_values: [] },
    });
  });

  it.each(FUNCTIONS)("cannot be registered by others: %s", async (functionId) => {
    const { service } = start();
    await expect(service.registerFunction(functionId, () => 1)).rejects.toMatchObject({
      code: "FORBIDDEN",
    });
  });

  it.each(FUNCTIONS)("accepts only an object: %s", async (functionId) => {
    const { service } = start();
    for (const payload of [null, [], [{}], "text", 1, true]) {
      await expect(service.trigger({ function_id: functionId, payload })).rejects.toMatchObject({
        name: "FunctionError",
        code: "deserialization_error",
        message: "The payload is not an object; it may be an object with the fields of the call.",
      });
    }
  });

  it.each(FUNCTIONS)("accepts only text as names: %s", async (functionId, _code, payload) => {
    const { service } = start();
    const names = ["stream_name", "group_id", "item_id"].filter((name) => name in payload);
    for (const name of names) {
      for (const wrong of [1, true, {}, ["a"]]) {
        await expect(
          service.trigger({ function_id: functionId, payload: { ...payload, [name]: wrong } }),
        ).rejects.toMatchObject({
          code: "deserialization_error",
          message: `${name} is not a string; it may be a string.`,
        });
      }
      for (const missing of [null, undefined]) {
        await expect(
          service.trigger({ function_id: functionId, payload: { ...payload, [name]: missing } }),
        ).rejects.toMatchObject({
          code: "deserialization_error",
          message: `${name} is missing; it may be a name.`,
        });
      }
    }
  });

  it.each(FUNCTIONS)(
    "begins its message with the reason: %s",
    async (functionId, code, payload) => {
      const { service } = start();
      const names = ["stream_name", "group_id", "item_id"].filter((name) => name in payload);
      for (const name of names) {
        for (const wrong of ["", "x".repeat(257), "a\nb"]) {
          // An empty item id of an event means no item.
          if (functionId === "stream::send" && name === "item_id" && wrong === "") continue;
          await expect(
            service.trigger({ function_id: functionId, payload: { ...payload, [name]: wrong } }),
          ).rejects.toMatchObject({
            name: "FunctionError",
            code,
            message: expect.stringMatching(new RegExp(`^NAME_INVALID: ${name} `)) as unknown,
          });
        }
      }
    },
  );

  it.each(FUNCTIONS)(
    "has its own code when the store is closed: %s",
    async (functionId, code, payload) => {
      const store = memoryStore({ sweepIntervalMs: 0 });
      const { service } = start({ store });
      await store.close();
      await expect(service.trigger({ function_id: functionId, payload })).rejects.toMatchObject({
        code,
        message: expect.stringMatching(/^STORE_UNAVAILABLE: /) as unknown,
      });
    },
  );
});

describe("payloads of writes", () => {
  it.each([
    ["set", {}, "data is missing; it may be any JSON value."],
    ["send", {}, "data is missing; it may be any JSON value."],
    ["send", { data: 1, type: 5 }, "type is not a string; it may be a string."],
    ["send", { data: 1, event_type: {} }, "event_type is not a string; it may be a string."],
    ["send", { data: 1, item_id: 5 }, "item_id is not a string; it may be a string."],
    ["send", { data: 1, id: [] }, "id is not a string; it may be a string."],
    ["update", {}, "ops is missing; it may be any JSON value."],
    [
      "set",
      { data: 1, expected_revision: "one" },
      "expected_revision is not a number; it may be an integer from 0 to 2^53-1, or absent.",
    ],
    [
      "set",
      { data: 1, expected_revision: "" },
      "expected_revision is not a number; it may be an integer from 0 to 2^53-1, or absent.",
    ],
    ["update", { ops: {} }, "ops is malformed; it may be an array of up to 1000 operations."],
    [
      "update",
      { ops: [{ type: "increment", path: "n", by: 1.5 }] },
      "ops[0].by is malformed; it may be an integer from -(2^53-1) to 2^53-1.",
    ],
    ["update", { ops: [{ type: "remove" }] }, /^ops\[0\]\.path is missing/],
    ["set", { data: 1, expected_revision: true }, /^expected_revision is not a number/],
    ["set", { data: 1, ttl: 30 }, "ttl is not a string; it may be a string."],
    [
      "set",
      { data: 1, ttl: "30" },
      'ttl is not a duration; it may be seconds such as "30s", or absent.',
    ],
    ["update", { ops: [], ttl: "1m" }, /^ttl is not a duration/],
    ["set", { data: 1, while_connected: 1 }, /^while_connected is not a boolean/],
    ["set", { data: 1, expected_epoch: 1 }, "expected_epoch is not a string; it may be a string."],
  ])("are malformed: %s with %j", async (name, rest, message) => {
    const { call } = start();
    const base = name === "send" ? group : item;
    await expect(call(name, { ...base, ...rest })).rejects.toMatchObject({
      code: "deserialization_error",
      message: typeof message === "string" ? message : (expect.stringMatching(message) as unknown),
    });
  });

  it.each<[string, string, Record<string, unknown>, RegExp]>([
    ["set", "a forbidden key", { data: JSON.parse('{"__proto__":1}') }, /^VALUE_INVALID: data /],
    [
      "set",
      "too many levels",
      { data: JSON.parse("[".repeat(31) + "]".repeat(31)) },
      /^VALUE_TOO_DEEP: /,
    ],
    ["set", "too many bytes", { data: "x".repeat(1024 * 1024) }, /^VALUE_TOO_LARGE: /],
    ["set", "half a character", { data: "\ud83d" }, /^VALUE_INVALID: /],
    [
      "set",
      "a negative revision",
      { data: 1, expected_revision: -1 },
      /^REQUEST_INVALID: expected_revision /,
    ],
    [
      "set",
      "half a revision",
      { data: 1, expected_revision: 1.5 },
      /^REQUEST_INVALID: expected_revision /,
    ],
    ["set", "no lifetime", { data: 1, ttl: "0s" }, /^REQUEST_INVALID: ttl is 0 ms; it may be /],
    ["update", "11 years", { ops: [], ttl: "346896000s" }, /^REQUEST_INVALID: ttl /],
    [
      "set",
      "the lifetime of a connection",
      { data: 1, while_connected: true },
      /^REQUEST_INVALID: while_connected is true, but /,
    ],
    ["send", "a long type", { data: 1, type: "x".repeat(257) }, /^REQUEST_INVALID: type /],
    [
      "update",
      "too many steps",
      { ops: Array.from({ length: 1001 }, () => ({ type: "remove", path: "a" })) },
      /^REQUEST_INVALID: ops /,
    ],
    [
      "update",
      "a step with half a character",
      { ops: [{ type: "set", path: "a", value: "\ud83d" }] },
      /^VALUE_INVALID: ops\[0\]\.value /,
    ],
  ])("are refused by the service: %s with %s", async (name, _what, rest, message) => {
    const { call } = start();
    const base = name === "send" ? group : item;
    await expect(call(name, { ...base, ...rest })).rejects.toMatchObject({
      code: `STREAM_${name.toUpperCase()}_ERROR`,
      message: expect.stringMatching(message) as unknown,
    });
    expect(await call("list_all")).toStrictEqual({ stream: [], count: 0 });
  });

  it("may have expectations, as numbers and as text, and change nothing when one is not met (G1)", async () => {
    const { service, call } = start();
    await call("set", { ...item, data: 1, expected_revision: 0, expected_epoch: "" });
    const { epoch } = (await service.list(GROUP)).position;
    await call("set", { ...item, data: 2, expected_revision: "1", expected_epoch: epoch });
    await call("set", { ...item, data: 3, expected_revision: null, expected_epoch: null });
    const ops = [{ type: "increment", path: "", by: 1 }];
    await call("update", { ...item, ops, expected_revision: 3 });
    const unmet = [
      ["set", { data: 0, expected_revision: 3 }, "REVISION_MISMATCH"],
      ["set", { data: 0, expected_epoch: "another" }, "EPOCH_MISMATCH"],
      ["update", { ops, expected_revision: "0" }, "REVISION_MISMATCH"],
      ["update", { ops, expected_epoch: "" }, "EPOCH_MISMATCH"],
      ["delete", { expected_revision: 0 }, "REVISION_MISMATCH"],
      ["delete", { expected_epoch: "another" }, "EPOCH_MISMATCH"],
    ] as const;
    for (const [name, rest, reason] of unmet) {
      await expect(call(name, { ...item, ...rest })).rejects.toMatchObject({
        code: `STREAM_${name.toUpperCase()}_ERROR`,
        message: expect.stringMatching(new RegExp(`^${reason}: `)) as unknown,
      });
    }
    expect(await call("get", item)).toBe(4);
    await call("delete", { ...item, expected_revision: 4, expected_epoch: epoch });
    expect(await call("get", item)).toBeUndefined();
  });

  it("are refused when they are too large for a call", async () => {
    const { call } = start({ functionLimits: { maxPayloadBytes: 1000 } });
    await expect(call("set", { ...item, data: "x".repeat(1000) })).rejects.toMatchObject({
      code: "payload_too_large",
    });
    await call("set", { ...item, data: "x".repeat(800) });
  });
});
