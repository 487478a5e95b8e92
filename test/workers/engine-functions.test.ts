import { registerWorker } from "iii-sdk";
import { EngineFunctions } from "iii-sdk/engine";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { type TestService, testServiceOn } from "../support/hosts/test-service.ts";

const testService = testServiceOn(inProcessHost);
let fixture: TestService;
let worker: ReturnType<typeof registerWorker>;
beforeEach(async () => {
  fixture = await testService();
  worker = registerWorker(`${fixture.server.url.replace("http", "ws")}/worker`, {
    workerName: "ann",
    otel: { enabled: false },
    enableMetricsReporting: false,
  });
  worker.registerFunction("chat::moderate", async () => null);
  worker.registerTrigger({
    type: "stream",
    function_id: "chat::moderate",
    config: { stream_name: "chat" },
    metadata: { any: "thing" },
  });
  // The response arrives after all earlier frames have taken effect.
  await worker.trigger({ function_id: "stream::list_all", payload: {} });
  await fixture.service.registerFunction("own::log", () => {});
  await fixture.service.registerTrigger({ type: "stream:leave", function_id: "own::log" });
});
afterEach(() => worker.shutdown());

const list = (functionId: string, payload: object | null = {}) =>
  worker.trigger<object | null, Record<string, object[]>>({ function_id: functionId, payload });
const idsOf = (rows: object[] | undefined, key: string) =>
  rows?.map((row) => (row as Record<string, unknown>)[key]);

describe("engine::functions::list", () => {
  it("lists every function once, with the worker that provides it", async () => {
    const { functions } = await list(EngineFunctions.LIST_FUNCTIONS, null);
    expect(functions).toEqual(
      [
        ["chat::moderate", "ann"],
        ["own::log", ""],
        ["stream::delete", "millrace"],
        ["stream::get", "millrace"],
        ["stream::list", "millrace"],
        ["stream::list_all", "millrace"],
        ["stream::list_groups", "millrace"],
        ["stream::send", "millrace"],
        ["stream::set", "millrace"],
        ["stream::update", "millrace"],
      ].map(([functionId, name]) => ({
        function_id: functionId,
        worker_name: name,
        description: null,
      })),
    );
  });

  it.each([
    [{ worker: "ann" }, ["chat::moderate"]],
    [{ prefix: "own:" }, ["own::log"]],
    [{ search: "LOG" }, ["own::log"]],
    [{ worker: null, prefix: "stream::list_", search: "GROUPS" }, ["stream::list_groups"]],
    [
      { include_internal: true, prefix: "engine::", namespace: "default" },
      ["engine::functions::list", "engine::registered-triggers::list", "engine::triggers::list"],
    ],
    [{ worker: "nobody" }, []],
  ])("filters by %j", async (query, expected) => {
    const { functions } = await list(EngineFunctions.LIST_FUNCTIONS, query);
    expect(idsOf(functions, "function_id")).toEqual(expected);
  });

  it("omits withdrawn functions", async () => {
    await worker.shutdown();
    const left = () => fixture.service.trigger({ function_id: EngineFunctions.LIST_FUNCTIONS });
    await expect.poll(left).not.toMatchObject({
      functions: expect.arrayContaining([
        expect.objectContaining({ function_id: "chat::moderate" }),
      ]) as unknown,
    });
  });
});

describe("engine::triggers::list", () => {
  it("lists the trigger types", async () => {
    const { triggers } = await list(EngineFunctions.LIST_TRIGGERS);
    expect(idsOf(triggers, "id")).toEqual([
      "stream",
      "stream:join",
      "stream:leave",
      "stream:write",
    ]);
    for (const row of triggers ?? [])
      expect(row).toMatchObject({
        worker_name: "millrace",
        description: expect.stringMatching(/\.$/) as unknown,
      });
    const joins = await list(EngineFunctions.LIST_TRIGGERS, { search: "join" });
    expect(idsOf(joins["triggers"], "id")).toEqual(["stream:join"]);
  });
});

describe("engine::registered-triggers::list", () => {
  it("lists the registered triggers with the function that each calls", async () => {
    const listed = await list(EngineFunctions.LIST_REGISTERED_TRIGGERS);
    expect(listed["registered_triggers"]).toEqual([
      {
        id: expect.any(String) as unknown,
        trigger_type: "stream",
        function_id: "chat::moderate",
        worker_name: "ann",
        config_summary: '{"stream_name":"chat"}',
        config: { stream_name: "chat" },
        metadata: { any: "thing" },
      },
      {
        id: expect.any(String) as unknown,
        trigger_type: "stream:leave",
        function_id: "own::log",
        worker_name: "",
        config_summary: "{}",
        config: {},
        metadata: null,
      },
    ]);
  });

  it.each([
    [{ trigger_type: "stream" }, ["chat::moderate"]],
    [{ function_id: "own::log" }, ["own::log"]],
    [{ worker: "ann", search: "mod" }, ["chat::moderate"]],
    [{ trigger_type: "cron" }, []],
  ])("filters by %j", async (query, expected) => {
    const listed = await list(EngineFunctions.LIST_REGISTERED_TRIGGERS, query);
    expect(idsOf(listed["registered_triggers"], "function_id")).toEqual(expected);
  });
});

it("refuses a filter that is not a string, and an unknown engine function", async () => {
  await expect(list(EngineFunctions.LIST_FUNCTIONS, { prefix: 5 })).rejects.toMatchObject({
    code: "deserialization_error",
    message: expect.stringContaining("prefix is not a string; it may be a string.") as unknown,
  });
  await expect(list(EngineFunctions.INFO_WORKERS)).rejects.toMatchObject({
    code: "function_not_found",
  });
});
