import { describe, expect, it } from "vitest";
import { DEAD_LETTERS, createStreamService, memoryStore } from "millrace";
import { HOSTS } from "../support/hosts/hosts.ts";
import { describeFunctionAuthors } from "./authors.suite.ts";
import { describeFunctions } from "./functions.suite.ts";

describe.each(HOSTS)("$name", (host) => {
  describeFunctions(host);
  describeFunctionAuthors(host);
});

describe("functions of the embedding program", () => {
  it.each([
    ["a bigint", () => 1n, /not JSON/],
    ["a function", () => () => 1, /a function/],
    ["a circular object", circular, /not JSON/],
  ])("fail the call when they return %s", async (_what, handler, message) => {
    const service = createStreamService({ store: memoryStore() });
    await service.registerFunction("odd", handler);
    await expect(service.trigger({ function_id: "odd" })).rejects.toMatchObject({
      code: "invocation_failed",
      message: expect.stringMatching(message) as unknown,
    });
    await service.close();
  });

  it("receive their own copy of the payload", async () => {
    const service = createStreamService({ store: memoryStore() });
    await service.registerFunction("greedy", (payload: { list: number[] }) =>
      payload.list.splice(0),
    );
    const payload = { list: [1, 2] };
    expect(await service.trigger({ function_id: "greedy", payload })).toEqual([1, 2]);
    expect(payload).toEqual({ list: [1, 2] });
    await service.close();
  });

  it("write as themselves through the library, by every call, also later", async () => {
    const service = createStreamService({ store: memoryStore() });
    const group = { streamName: "chat", groupId: "g" };
    const frames = await service.subscribe(group);
    await frames.next();
    let later: Promise<unknown> | undefined;
    const work = async () => {
      await service.set({ ...group, itemId: "i", data: { n: 1 } });
      await service.update({ ...group, itemId: "i", ops: [] });
      await service.batch({
        ...group,
        mutations: [{ set: { itemId: "b", data: 1 } }, { delete: { itemId: "i" } }],
      });
      await service.send({ ...group, data: 1 });
      await service.delete({ ...group, itemId: "b" });
    };
    await service.registerFunction("f", async () => {
      later = new Promise((resolve) => setImmediate(resolve)).then(work);
    });
    await service.trigger({ function_id: "f" });
    await later;
    await work();
    for (const author of ["function:f", ""])
      for (const type of ["create", "update", "create", "delete", "message", "delete"])
        expect((await frames.next()).value).toMatchObject({ type, author });
    await service.close();
  });

  it("write as themselves without async functions, and nobody else does", async () => {
    const service = createStreamService({ store: memoryStore() });
    const group = { streamName: "chat", groupId: "g" };
    let inner: Promise<unknown> | undefined;
    await service.registerFunction("plain", () => {
      inner = service.set({ ...group, itemId: "a", data: 1 });
    });
    const called = service.trigger({ function_id: "plain" });
    const outer = service.set({ ...group, itemId: "b", data: 1 });
    await Promise.all([called, outer]);
    await inner;
    expect((await service.get({ ...group, itemId: "a" }))?.author).toBe("function:plain");
    expect((await service.get({ ...group, itemId: "b" }))?.author).toBe("");
    await service.close();
  });

  it("leave dead letters without author", async () => {
    const service = createStreamService({ store: memoryStore() });
    await service.registerFunction("f", () => {
      throw new Error("no");
    });
    const config = { stream_name: "chat" };
    await service.registerTrigger({ type: "stream", function_id: "f", config });
    await service.set({ streamName: "chat", groupId: "g", itemId: "i", data: 1 });
    const letters = async () =>
      (await service.list({ streamName: DEAD_LETTERS, groupId: "f" })).items;
    await expect.poll(async () => (await letters()).map(({ author }) => author)).toEqual([""]);
    await service.close();
  });

  it("keep working when the problem listener throws", async () => {
    const service = createStreamService({
      store: memoryStore(),
      onProblem() {
        throw new Error("the log is full");
      },
    });
    let calls = 0;
    await service.registerFunction("f", () => {
      calls++;
      throw new Error("no");
    });
    const config = { stream_name: "chat" };
    await service.registerTrigger({ type: "stream", function_id: "f", config });
    const group = { streamName: "chat", groupId: "g" };
    for (let n = 0; n < 3; n++) await service.set({ ...group, itemId: "i", data: n });
    await expect.poll(() => service.triggers()[0]?.counts.failed).toBe(3);
    expect(calls).toBe(3);
    const letters = await service.list({ streamName: DEAD_LETTERS, groupId: "f" });
    expect(letters.items).toHaveLength(3);
    await service.close();
  });

  it("cannot be called with values that are not JSON", async () => {
    const service = createStreamService({ store: memoryStore() });
    await service.registerFunction("f", () => 1);
    await expect(service.trigger({ function_id: "f", payload: 1n })).rejects.toMatchObject({
      code: "deserialization_error",
    });
    await service.close();
  });
});

function circular(): unknown {
  const object: { self?: unknown } = {};
  object.self = object;
  return object;
}
