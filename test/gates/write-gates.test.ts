import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type TriggerRequest, Value, type WritePayload } from "millrace";
import { localCoordinator } from "../../src/coordinators/local/local-coordinator.ts";
import { opsFromJson } from "../../src/core/op-json.ts";
import type { EngineOptions } from "../../src/service/engine.ts";
import type { BatchRequest } from "../../src/service/requests.ts";
import type { GatedMutation, GatedWrite, WriteAction } from "../../src/triggers/gated-write.ts";
import { newCalls, promised } from "../support/gates/calls.ts";
import { openGatedEngine } from "../support/gates/gated-engine.ts";

const REFUSED = { code: "permission_denied", reason: "WRITE_REFUSED" };
const LOBBY = { streamName: "chat", groupId: "lobby" };
const SET = { ...LOBBY, itemId: "m1", data: Value.of({ text: "hello" }) };
const CALLER = { user: "ann", context: "null", connection: { connectionId: "c1" } };
const MUTATIONS: readonly GatedMutation[] = [
  { kind: "set", itemId: "a", data: Value.of(1) },
  { kind: "update", itemId: "b", ops: opsFromJson([{ type: "set", path: "k", value: 1 }]) },
  { kind: "delete", itemId: "c" },
];
const WRITES: Readonly<Record<WriteAction, GatedWrite>> = {
  set: SET,
  update: { ...LOBBY, itemId: "m1", ops: opsFromJson([{ type: "append", path: "log", value: 1 }]) },
  delete: { ...LOBBY, itemId: "m1" },
  batch: { ...LOBBY, mutations: MUTATIONS },
  send: { ...LOBBY, data: Value.of([1]) },
};
/** The payload of each write, without its place and caller. */
const CONTENTS: Readonly<Record<WriteAction, object>> = {
  set: { id: "m1", data: { text: "hello" } },
  update: { id: "m1", ops: [{ type: "append", path: ["log"], value: 1 }] },
  delete: { id: "m1" },
  batch: {
    id: null,
    mutations: [
      { kind: "set", id: "a", data: 1 },
      { kind: "update", id: "b", ops: [{ type: "set", path: "k", value: 1 }] },
      { kind: "delete", id: "c" },
    ],
  },
  send: { id: null, data: [1], type: "message" },
};
const ACTIONS = Object.keys(WRITES) as WriteAction[];

function gate(functionId: string, config: object = {}): TriggerRequest {
  return {
    type: "stream:write",
    function_id: functionId,
    config: { stream_name: "chat", ...config },
  };
}

function open(options: EngineOptions = {}) {
  const gated = openGatedEngine(options);
  const { service, gates } = gated;
  return {
    ...gated,
    /** Registers a gate. @returns The payloads that it received. */
    async guard(id: string, answer: (payload: WritePayload) => unknown, config: object = {}) {
      const calls = newCalls<WritePayload>();
      await service.registerFunction(id, (payload: WritePayload) => {
        calls.record(payload);
        return answer(payload);
      });
      await service.registerTrigger(gate(id, config));
      return calls.all;
    },
    /** Asks about a write, as a protocol does. */
    admit: async (action: WriteAction, write: GatedWrite = WRITES[action]) =>
      gates.admitWrite(action, write, CALLER),
  };
}

describe("a write that no gate matches", () => {
  it.each(ACTIONS)("is admitted at once as it is: %s", async (action) => {
    const { gates, guard } = open();
    const calls = await guard("other", () => ({ unauthorized: true }), { stream_name: "other" });
    const write = WRITES[action];
    // Not even a promise.
    expect(gates.admitWrite(action, write, CALLER)).toBe(write);
    expect(calls).toEqual([]);
  });

  it.each([
    ["an item of another group", { group_id: "attic" }, "set", SET],
    ["another item", { item_id: "m2" }, "set", SET],
    ["a whole group, while the gate guards an item", { item_id: "m1" }, "send", {}],
    ["other items, in a batch", { item_id: "m1" }, "batch", {}],
  ] as const)("may be for %s", async (_, config, action, write) => {
    const { admit, guard } = open();
    const calls = await guard("closed", () => ({ unauthorized: true }), config);
    await admit(action, { ...WRITES[action], ...write });
    expect(calls).toEqual([]);
  });

  it("is refused while a gate is required, and may be tried again (G8)", async () => {
    const { gates, admit, guard, problems } = open({ writeGate: "required" });
    await expect(admit("set")).rejects.toMatchObject({ ...REFUSED, retryable: true });
    expect(problems).toMatchObject([
      {
        kind: "write_refused",
        functionId: "write_gate",
        message: "write_gate refused: it is required, and no gate is registered.",
      },
    ]);
    await guard("open", () => null, { group_id: "lobby" });
    await admit("set");
    await expect(
      gates.admitWrite("set", { ...SET, groupId: "attic" }, CALLER),
    ).rejects.toMatchObject({ ...REFUSED, retryable: true });
  });

  it("is refused while there may be gates that this process does not know (G8)", async () => {
    const coordinator = localCoordinator();
    const registry = { ...coordinator.registry, isCurrent: () => false };
    const { admit, problems } = open({ coordinator: { ...coordinator, registry } });
    await expect(admit("set")).rejects.toMatchObject({ ...REFUSED, retryable: true });
    expect(problems).toMatchObject([
      { message: "write gates refused: the registry of functions cannot be reached." },
    ]);
  });
});

describe("a write gate", () => {
  it.each(ACTIONS)("receives the complete payload of a %s", async (action) => {
    const { admit, guard } = open();
    const calls = await guard("gate", () => undefined);
    expect(await admit(action)).toBe(WRITES[action]);
    expect(calls).toStrictEqual([
      {
        action,
        stream_name: "chat",
        group_id: "lobby",
        ...CONTENTS[action],
        user: "ann",
        context: null,
        connection_id: "c1",
      },
    ]);
  });

  it("receives the type and item of an event, and null for an unknown user", async () => {
    const { gates, guard } = open();
    const calls = await guard("gate", () => undefined);
    const event = { ...LOBBY, itemId: "m1", type: "typing", data: Value.of(null) };
    const context = '{"room":"é"}';
    await gates.admitWrite("send", event, { ...CALLER, user: undefined, context });
    expect(calls).toMatchObject([
      { id: "m1", type: "typing", data: null, user: null, context: { room: "é" } },
    ]);
  });

  it("receives the metadata of its trigger", async () => {
    const { service, admit } = open();
    const seen = newCalls<unknown>();
    await service.registerFunction("gate", (_, { metadata }) => seen.record(metadata));
    await service.registerTrigger({ ...gate("gate"), metadata: { only: ["ann"] } });
    await admit("set");
    expect(seen.all).toEqual([{ only: ["ann"] }]);
  });

  it.each([
    ["the whole stream", {}],
    ["the group", { group_id: "lobby" }],
    ["one of its items in any group", { item_id: "b" }],
    ["one of its items", { group_id: "lobby", item_id: "c" }],
  ])("is called once for a batch when it guards %s", async (_, config) => {
    const { admit, guard } = open();
    const calls = await guard("gate", () => undefined, config);
    await admit("batch");
    expect(calls).toHaveLength(1);
  });

  it("that is withdrawn is not asked any more", async () => {
    const { service, gates } = open();
    await service.registerFunction("closed", () => ({ unauthorized: true }));
    const registration = await service.registerTrigger(gate("closed"));
    await registration.unregister();
    expect(gates.admitWrite("set", SET, CALLER)).toBe(SET);
  });

  it("whose provider is lost refuses until one returns or it is withdrawn (G8)", async () => {
    const { service, admit } = open();
    const provider = await service.registerFunction("gate", () => null);
    const registration = await service.registerTrigger(gate("gate"));
    await admit("set");
    await Promise.all([provider.unregister("lost"), registration.unregister("lost")]);
    await expect(admit("set")).rejects.toMatchObject({ ...REFUSED, retryable: true });
    await service.registerFunction("gate", () => null);
    await admit("set");
  });

  it("hides its reasons from refused callers, and reports them to the operator (G8)", async () => {
    const { admit, guard, problems } = open();
    await guard("gate", () => {
      throw new Error("ann is banned");
    });
    await expect(admit("set")).rejects.toMatchObject({
      ...REFUSED,
      message: expect.not.stringMatching(/ann|banned|gate failed/) as string,
    });
    expect(problems).toMatchObject([{ kind: "write_refused", functionId: "gate" }]);
    expect(problems[0]?.message).toContain("ann is banned");
  });

  it("refuses a write that is too large for a call, without being called (G8)", async () => {
    const { admit, guard, problems } = open();
    const calls = await guard("gate", () => null);
    const data = Value.of("x".repeat(1_000_000));
    const mutations = ["a", "b", "c", "d", "e"].map((itemId): GatedMutation => ({
      kind: "set",
      itemId,
      data,
    }));
    await expect(admit("batch", { ...LOBBY, mutations })).rejects.toMatchObject({
      ...REFUSED,
      retryable: false,
    });
    expect(problems[0]?.message).toContain("payload_too_large");
    expect(calls).toEqual([]);
  });

  it("that takes longer than its timeout refuses, and the write may be tried again (G8)", async () => {
    const { admit, guard, problems } = open({ gateTimeoutMs: 100 });
    await guard("slow", () => new Promise(() => {}));
    await expect(admit("set")).rejects.toMatchObject({ ...REFUSED, retryable: true });
    expect(problems.at(-1)?.message).toMatch(/100 ms|TIMEOUT/);
  });
});

describe("several write gates", () => {
  it("are called concurrently, and must all allow", async () => {
    const { admit, guard } = open();
    const both = promised();
    // Called one by one, the first would wait forever.
    await guard("first", () => both.promise);
    await guard("second", () => both.resolve(), { item_id: "m1" });
    expect(await admit("set")).toBe(SET);
  });

  it("refuse with the first refusal, whatever the others would decide (G8)", async () => {
    const { admit, guard } = open();
    await guard("slow", () => new Promise(() => {}));
    await guard("closed", () => ({ unauthorized: true }));
    await expect(admit("set")).rejects.toMatchObject({ ...REFUSED, retryable: false });
  });

  it.each([
    ["a set", "set", { data: 1 }],
    ["a batch", "batch", { mutations: (CONTENTS.batch as WritePayload).mutations }],
  ] as const)("refuse %s whose content two of them replace (G8)", async (_, action, answer) => {
    const { admit, guard, problems } = open();
    await guard("first", () => answer);
    await guard("neutral", () => null);
    await guard("second", () => answer);
    await expect(admit(action)).rejects.toMatchObject({ ...REFUSED, retryable: false });
    expect(problems).toMatchObject([{ kind: "write_refused" }]);
    expect(problems[0]?.message).toMatch(/^(?:first|second) refused: it replaced the content/);
  });

  it("allow one of them to replace the content", async () => {
    const { admit, guard } = open();
    await guard("neutral", () => ({}));
    await guard("stamp", ({ data, user }) => ({ data: { ...(data as object), from: user } }));
    const { data } = await admit("set");
    expect(data?.json()).toEqual({ text: "hello", from: "ann" });
  });
});

describe("the content that a gate returns", () => {
  it("leaves all other fields of a request as they are", async () => {
    const { gates, guard } = open();
    await guard("gate", ({ mutations }) => ({ mutations }));
    const request: BatchRequest = {
      ...LOBBY,
      mutations: [
        { kind: "set", itemId: "a", data: Value.of(1), expectedRevision: 3 },
        { kind: "delete", itemId: "b", expectedRevision: 0 },
      ],
      expectedEpoch: "e1",
      returnValues: true,
    };
    const admitted: BatchRequest = await gates.admitWrite("batch", request, CALLER);
    expect(admitted).toEqual(request);
    expect(admitted).not.toBe(request);
  });

  it.each(["set", "send"] as const)("replaces the data of a %s, null included", async (action) => {
    const { admit, guard } = open();
    await guard("gate", () => ({ data: null }));
    const write = { ...WRITES[action], expectedRevision: 7 };
    const admitted = await admit(action, write);
    expect(admitted).toEqual({ ...write, data: Value.of(null) });
    expect(admitted).not.toBe(write);
  });

  it.each(["update", "delete", "batch"] as const)(
    "of a %s may be null, which replaces nothing",
    async (action) => {
      const { admit, guard } = open();
      await guard("gate", () => ({ data: null, mutations: null }));
      expect(await admit(action)).toBe(WRITES[action]);
    },
  );

  const [set, update, remove] = (CONTENTS.batch as { mutations: object[] }).mutations;
  const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);
  const step = { type: "set", path: "k", value: 1 };
  const wrong: readonly (readonly [string, WriteAction, unknown])[] = [
    ["data too deep for a value", "set", { data: deep(31) }],
    ["data with a __proto__ key", "set", { data: JSON.parse('{"__proto__":1}') as unknown }],
    ["data with half a surrogate pair", "send", { data: "\ud800" }],
    ["data larger than 1 MiB", "set", { data: "x".repeat(1024 * 1024) }],
    ["data of an update", "update", { data: {} }],
    ["data of a delete", "delete", { data: false }],
    ["data of a batch", "batch", { data: 1 }],
    ["mutations of a set", "set", { mutations: [] }],
    ["mutations of a send", "send", { data: 1, mutations: [] }],
    ["mutations of an update", "update", { mutations: [update] }],
    ["mutations that are an object", "batch", { mutations: { 0: set } }],
    ["mutations that are true", "batch", { mutations: true }],
    ["no mutations", "batch", { mutations: [] }],
    ["fewer mutations", "batch", { mutations: [set, update] }],
    ["more mutations", "batch", { mutations: [set, update, remove, remove] }],
    ["mutations in another order", "batch", { mutations: [update, set, remove] }],
    ["a mutation of another kind", "batch", { mutations: [set, update, { ...set, id: "c" }] }],
    ["a mutation of another item", "batch", { mutations: [{ ...set, id: "z" }, update, remove] }],
    ["a mutation without id", "batch", { mutations: [{ kind: "set", data: 1 }, update, remove] }],
    ["a mutation that is null", "batch", { mutations: [set, null, remove] }],
    ["a set without data", "batch", { mutations: [{ ...set, data: undefined }, update, remove] }],
    ["a set too deep", "batch", { mutations: [{ ...set, data: deep(31) }, update, remove] }],
    ["an update without ops", "batch", { mutations: [set, { ...update, ops: null }, remove] }],
    ["an unknown op", "batch", { mutations: [set, { ...update, ops: [{ type: "x" }] }, remove] }],
    [
      "too many ops",
      "batch",
      { mutations: [set, { ...update, ops: Array.from({ length: 1001 }, () => step) }, remove] },
    ],
  ];
  it.each(wrong)("refuses the write when it is %s (G8)", async (_, action, answer) => {
    const { admit, guard, problems } = open();
    await guard("gate", () => answer);
    await expect(admit(action)).rejects.toMatchObject({ ...REFUSED, retryable: false });
    expect(problems).toMatchObject([{ kind: "write_refused", functionId: "gate" }]);
    expect(problems[0]?.message).toMatch(/^gate refused: it.*[^.]\.$/);
  });

  it("replaces nothing but data and ops, whatever it is (G8)", async () => {
    const { admit, guard } = open();
    let answer: unknown;
    await guard("gate", () => answer);
    const given: readonly GatedMutation[] = MUTATIONS.map((each) => ({ ...each, ttl: "30s" }));
    const fixedFields = (mutations: readonly GatedMutation[] = []) =>
      mutations.map((each) => ({ ...each, data: undefined, ops: undefined }));
    const mutation = fc.record(
      {
        kind: fc.constantFrom("set", "update", "delete"),
        id: fc.constantFrom("a", "b", "c"),
        data: fc.jsonValue({ maxDepth: 2 }),
        ops: fc.constantFrom([], [step], "no", [1]),
        itemId: fc.constant("z"),
        ttl: fc.constant("1d"),
      },
      { requiredKeys: ["kind", "id"] },
    );
    const good = fc
      .tuple(fc.jsonValue({ maxDepth: 2 }), fc.array(fc.constant(step)))
      .map(([data, ops]) => [
        { kind: "set", id: "a", data, ttl: "1d" },
        { kind: "update", id: "b", ops, itemId: "z" },
        { kind: "delete", id: "c", data },
      ]);
    await fc.assert(
      fc.asyncProperty(fc.oneof(good, fc.array(mutation, { maxLength: 4 })), async (mutations) => {
        answer = { mutations };
        const admitted = await admit("batch", { ...LOBBY, mutations: given }).catch(
          () => undefined,
        );
        if (admitted === undefined) return;
        expect(mutations).toHaveLength(given.length);
        expect(fixedFields(admitted.mutations)).toEqual(fixedFields(given));
        const [first, second] = admitted.mutations ?? [];
        expect(first).toMatchObject({ data: Value.of(mutations[0]?.data) });
        expect(second).toMatchObject({ ops: opsFromJson(mutations[1]?.ops) });
      }),
      { numRuns: 300 },
    );
  });
});
