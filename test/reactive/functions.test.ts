import { describe, expect, it } from "vitest";
import { createStreamService, memoryStore } from "millrace";
import { HOSTS } from "../support/hosts/hosts.ts";
import { describeFunctions } from "./suite/functions.suite.ts";

describe.each(HOSTS)("in $name", (host) => {
  describeFunctions(host);
});

describe("functions of the program itself", () => {
  it.each([
    ["a bigint", () => 1n, /not JSON/],
    ["a function", () => () => 1, /a function/],
    ["a circle", circle, /not JSON/],
  ])("fail the call when they return %s", async (_what, handler, sentence) => {
    const service = createStreamService({ store: memoryStore() });
    await service.registerFunction("odd", handler);
    await expect(service.trigger({ function_id: "odd" })).rejects.toMatchObject({
      code: "invocation_failed",
      message: expect.stringMatching(sentence) as unknown,
    });
    await service.close();
  });

  it("get a copy of the payload of their own", async () => {
    const service = createStreamService({ store: memoryStore() });
    await service.registerFunction("greedy", (payload: { list: number[] }) =>
      payload.list.splice(0),
    );
    const payload = { list: [1, 2] };
    expect(await service.trigger({ function_id: "greedy", payload })).toEqual([1, 2]);
    expect(payload).toEqual({ list: [1, 2] });
    await service.close();
  });

  it("cannot be called with what is not JSON", async () => {
    const service = createStreamService({ store: memoryStore() });
    await service.registerFunction("f", () => 1);
    await expect(service.trigger({ function_id: "f", payload: 1n })).rejects.toMatchObject({
      code: "deserialization_error",
    });
    await service.close();
  });
});

function circle(): unknown {
  const object: { self?: unknown } = {};
  object.self = object;
  return object;
}
