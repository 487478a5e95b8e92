import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { opsFromJson } from "../../src/core/op-json.ts";
import { Value } from "../../src/core/value.ts";
import { type Caller, THIS_PROCESS, identityOf } from "../../src/rights/caller.ts";
import { onceOnly } from "../../src/service/idempotency.ts";
import { starter } from "./built-in-fixture.ts";

const start = starter();
const GROUP = { streamName: "s", groupId: "g" };
const ITEM = { ...GROUP, itemId: "a", idempotencyKey: "k" };

const fingerprint = (action: string, request: object) =>
  onceOnly(action, { ...ITEM, ...request }, THIS_PROCESS)?.idempotency.fingerprint;

describe("the fingerprint of a write", () => {
  it("is 43 letters of base64url", () => {
    expect(fingerprint("set", { data: Value.of(1) })).toMatch(/^[\w-]{43}$/);
  });

  it("is the same whatever the order of the keys in objects, and in those of steps", () => {
    const one = { a: 1, b: { c: [{ d: 1, e: 2 }] } };
    const other = { b: { c: [{ e: 2, d: 1 }] }, a: 1 };
    const set = (json: object) => fingerprint("set", { data: Value.of(json) });
    expect(set(one)).toBe(set(other));
    const update = (value: object) =>
      fingerprint("update", { ops: opsFromJson([{ type: "merge", path: ["x"], value }]) });
    expect(update({ a: 1, b: 2 })).toBe(update({ b: 2, a: 1 }));
    expect(update({ a: 1, ["__proto__"]: 2 })).toBe(update({ ["__proto__"]: 2, a: 1 }));
    expect(update({ a: 1, ["__proto__"]: 2 })).not.toBe(update({ a: 1 }));
    expect(update({ a: 1, b: 2 })).not.toBe(update({ a: 2, b: 1 }));
  });

  it("differs when anything that the write does differs", () => {
    const step = (path: readonly string[], value: unknown) => ({ type: "append", path, value });
    const requests: readonly (readonly [string, object])[] = [
      ["set", { data: Value.of(null) }],
      ["set", { data: Value.of("null") }],
      ["set", { data: Value.of({}) }],
      ["set", { data: Value.of([]) }],
      ["set", { data: Value.of({ a: { b: 1 } }) }],
      ["set", { data: Value.of({ a: { b: "1" } }) }],
      ["set", { data: Value.of([[1], 2]) }],
      ["set", { data: Value.of([1, [2]]) }],
      ["set", { data: Value.of(null), itemId: "b" }],
      ["set", { data: Value.of(null), expectedRevision: 0 }],
      ["set", { data: Value.of(null), expectedRevision: 1 }],
      ["set", { data: Value.of(null), expectedEpoch: "" }],
      ["set", { data: Value.of(null), expectedEpoch: "e" }],
      ["set", { data: Value.of(null), ttl: 1000 }],
      ["set", { data: Value.of(null), ttl: 2000 }],
      ["set", { data: Value.of(null), whileConnected: true }],
      ["set", { data: Value.of(null), whileConnected: true, ttl: 1000 }],
      ["delete", {}],
      ["update", { ops: [] }],
      ["update", { ops: [], ttl: 1000 }],
      ["update", { ops: [], whileConnected: true }],
      ["update", { ops: opsFromJson([step(["a"], 1)]) }],
      ["update", { ops: opsFromJson([step(["a", "b"], 1)]) }],
      ["update", { ops: opsFromJson([step(["a,b"], 1)]) }],
      ["update", { ops: opsFromJson([step(["a"], 1), step(["a"], 1)]) }],
      ["update", { ops: opsFromJson([step(["a"], [1])]) }],
      ["batch", { mutations: [] }],
      ["batch", { mutations: [{ kind: "delete", itemId: "a" }] }],
      ["batch", { mutations: [{ kind: "delete", itemId: "a", expectedRevision: 1 }] }],
      ["batch", { mutations: [{ kind: "set", itemId: "a", data: Value.of(1) }] }],
      ["batch", { mutations: [{ kind: "set", itemId: "a", data: Value.of(1), ttl: 1000 }] }],
      ["batch", { mutations: [{ kind: "update", itemId: "a", ops: [] }] }],
      ["batch", { mutations: [{ kind: "update", itemId: "a", ops: [], ttl: 1000 }] }],
      ["batch", { mutations: [0, 1].map(() => ({ kind: "delete", itemId: "a" })) }],
    ];
    const all = requests.map(([action, request]) => fingerprint(action, request));
    expect(new Set(all).size).toBe(requests.length);
  });

  it("is that of versions without lifetimes if the write has none: they may share its key", () => {
    const data = Value.of({ a: 1 });
    const of = createHash("sha256")
      .update('["set",null,null]["set","a",7,0]{"a":1}')
      .digest("base64url");
    expect(fingerprint("set", { data, expectedRevision: 7 })).toBe(of);
    const none = { ttl: undefined, whileConnected: false };
    expect(fingerprint("set", { data, expectedRevision: 7, ...none })).toBe(of);
  });

  it("does not depend on fields of other calls, which JavaScript callers may add", async () => {
    const { service } = start();
    const stray = { ...ITEM, data: 1, ops: [], mutations: [], returnValues: true };
    await service.delete(stray);
    expect(await service.delete(ITEM)).toMatchObject({ deduplicated: true });
    await service.update({ ...stray, idempotencyKey: "u" });
    const update = { ...ITEM, ops: [], idempotencyKey: "u" };
    expect(await service.update(update)).toMatchObject({ deduplicated: true });
    // Transient events have no keys.
    await service.send(Object.assign({ ...GROUP, data: 1 }, { idempotencyKey: "u" }));
  });

  it.each([
    ["expectedRevision", 1n],
    ["expectedRevision", Symbol("x")],
    ["expectedEpoch", Object.create(null)],
    ["itemId", {}],
    ["idempotencyKey", {}],
    ["idempotencyKey", null],
  ])("of a request with a %s of another type is followed by its refusal", async (field, wrong) => {
    const { service } = start();
    const request = { ...ITEM, data: 1, [field]: wrong as never };
    await expect(service.set(request)).rejects.toMatchObject({ code: "invalid_argument" });
  });
});

describe("the identity of a caller in idempotency keys", () => {
  const caller = (members: Partial<Caller>): Caller => ({ ...THIS_PROCESS, ...members });

  it("differs from those of other callers", () => {
    const callers: readonly Caller[] = [
      caller({}),
      caller({ author: "user:ann" }),
      caller({ author: "key:ann" }),
      caller({ author: "function:ann" }),
      caller({ kind: "local" }),
      caller({ kind: "local", user: "ann" }),
      caller({ kind: "anonymous" }),
      caller({ kind: "user", context: '{"id":1}' }),
      caller({ kind: "user", context: '{"id":2}' }),
    ];
    expect(new Set(callers.map(identityOf)).size).toBe(callers.length);
  });

  it("has at most 300 bytes", () => {
    const long = "é".repeat(5000);
    for (const members of [{ kind: "user", context: long }, { author: `user:${"é".repeat(128)}` }])
      expect(Buffer.byteLength(identityOf(caller(members as Partial<Caller>)))).toBeLessThan(301);
  });
});
