import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import {
  type StreamService,
  type TriggerRequest,
  createStreamService,
  memoryStore,
} from "millrace";
import type { ServerOptions } from "millrace/server";
import { newCalls, promised } from "../support/gates/calls.ts";
import {
  type GatedServer,
  type JoinPayload,
  asLeave,
  openGatedServer,
  visit,
} from "../support/gates/gated-server.ts";

const GROUP = { streamName: "rooms", groupId: "g" };
const REFUSED = { code: "permission_denied", reason: "JOIN_REFUSED" };
const GATE: TriggerRequest = { type: "stream:join", function_id: "second" };

let gated: GatedServer;
let service: StreamService;
beforeEach(async () => {
  ({ gated, service } = await open({ gateTimeoutMs: 5000, settleTimeoutMs: 200 }));
});
afterEach(() => gated.server.close());

async function open(options: ServerOptions) {
  const gated = await openGatedServer(options);
  return { gated, service: gated.service };
}

const enter = async () => visit(service, GROUP);
const refused = async () => expect(enter()).rejects.toMatchObject(REFUSED);
const circular = () => {
  const value: Record<string, unknown> = {};
  value["self"] = value;
  return value;
};

describe("a join gate", () => {
  it.each([
    [undefined],
    [null],
    [{}],
    [{ unauthorized: false }],
    [{ unauthorized: null }],
    [{ authorized: false }],
    [{ data: { unauthorized: true } }],
    [{ error: null }],
    [{ statusCode: 200 }],
    [{ statusCode: "403" }],
  ])("that returns %j allows", async (answer) => {
    gated.decide = () => answer;
    await enter();
    expect(await gated.leaves.count(1)).toEqual(gated.joins.all);
  });

  const refusing: readonly unknown[] = [
    ...[true, "yes", "", "false", 0, 1, [], {}, [false], { not: false }].map((unauthorized) => ({
      unauthorized,
    })),
    ...[false, true, 0, 1, -1, 0.5, "", "no", "unauthorized", "{}"],
    ...[[], [{ unauthorized: true }], [{ unauthorized: false }]],
    ...["forbidden", "", false, true, 0, {}, { code: "forbidden" }].map((error) => ({ error })),
    { unauthorized: false, error: "forbidden" },
    ...[400, 401, 403, 500, 1e9].map((statusCode) => ({ statusCode })),
    { unauthorized: false, statusCode: 403 },
  ];
  it.each(refusing.map((answer) => [answer]))(
    "that returns %j refuses, for a reason that only the operator sees (G8)",
    async (answer) => {
      gated.decide = () => answer;
      await refused();
      expect(await gated.leavesSoFar()).toEqual([]);
      expect(gated.problems).toMatchObject([
        {
          kind: "join_refused",
          functionId: "gate",
          message: expect.stringMatching(/^gate refused: it(?:s unauthorized is| returned) .*\.$/),
        },
      ]);
    },
  );

  it.each([
    ["a value that is not JSON", () => Symbol("?")],
    ["a circular value", circular],
    ["a rejection", () => Promise.reject(new Error("no"))],
    ["an exception", () => JSON.parse("{") as unknown],
    ["a value that is too large", () => ({ text: "x".repeat(20 * 1024 * 1024) })],
  ])("that ends with %s refuses (G8)", async (_, answer) => {
    gated.decide = answer;
    await refused();
    expect(await gated.leavesSoFar()).toEqual([]);
  });

  it("hides its reasons from refused callers, and reports them to the operator (G8)", async () => {
    gated.decide = () => {
      throw new Error("ann is on the list");
    };
    await expect(enter()).rejects.toMatchObject({
      ...REFUSED,
      message: expect.not.stringMatching(/ann|list|gate failed/) as string,
    });
    const [problem] = gated.problems.filter(({ kind }) => kind === "join_refused");
    expect(problem).toMatchObject({ functionId: "gate" });
    expect(problem?.message).toContain("ann is on the list");
  });

  it.each([
    ["a group", {}, null],
    ["an item", { itemId: "a/b é" }, "a/b é"],
  ])("is called for %s with the complete payload", async (_, item, id) => {
    await visit(service, { ...GROUP, ...item });
    const [joined] = gated.joins.all;
    expect(joined).toStrictEqual({
      subscription_id: expect.stringMatching(/^.{8,}$/) as string,
      stream_name: "rooms",
      group_id: "g",
      id,
      user: null,
      context: null,
      connection_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    });
    expect(await gated.leaves.count(1)).toStrictEqual([joined]);
    expect(gated.joins.all).toHaveLength(1);
  });

  it("receives the metadata of its trigger", async () => {
    const seen = newCalls<unknown>();
    await service.registerFunction("second", (_, { metadata }) => seen.record(metadata));
    await service.registerTrigger({ ...GATE, metadata: { only: ["ann"] } });
    await enter();
    expect(seen.all).toEqual([{ only: ["ann"] }]);
  });

  it("is called before any frame is sent: writes made meanwhile are in the snapshot (G8, G10)", async () => {
    const gate = promised();
    gated.decide = () => gate.promise;
    const following = service.subscribe(GROUP);
    await gated.joins.count(1);
    await service.set({ ...GROUP, itemId: "a", data: "meanwhile" });
    gate.resolve();
    const frames = await following;
    expect((await frames.next()).value).toMatchObject({
      kind: "sync",
      items: [{ itemId: "a", data: "meanwhile" }],
    });
    await frames.return?.();
  });

  it("registered while a subscription is open is called for later joins only", async () => {
    const frames = await service.subscribe(GROUP);
    await frames.next();
    await service.registerFunction("second", () => ({ unauthorized: true }));
    await service.registerTrigger(GATE);
    await refused();
    await service.set({ ...GROUP, itemId: "a", data: 1 });
    expect((await frames.next()).value).toMatchObject({ kind: "change", data: 1 });
    await frames.return?.();
  });
});

describe("several join gates", () => {
  it("are called concurrently, and must all allow", async () => {
    const both = promised();
    gated.decide = () => both.promise;
    // Called one by one, the first would wait forever.
    await service.registerFunction("second", () => both.resolve());
    await service.registerTrigger(GATE);
    await enter();
    expect(await gated.leaves.count(1)).toEqual(gated.joins.all);
  });

  it("refuse with the first refusal, whatever the others would decide (G8)", async () => {
    await service.registerFunction("second", () => ({ unauthorized: true }));
    const second = await service.registerTrigger(GATE);
    gated.decide = () => new Promise(() => {});
    await refused();
    gated.decide = () => undefined;
    await refused();
    expect(gated.joins.all).toHaveLength(2);
    await second.unregister();
    expect(await gated.leavesSoFar()).toEqual([]);
  });

  it("refuse when one of them has no provider (G8)", async () => {
    const second = await service.registerTrigger(GATE);
    await refused();
    expect(gated.problems.at(-1)?.message).toContain("function_not_found");
    await second.unregister();
    expect(await gated.leavesSoFar()).toEqual([]);
  });
});

describe("the condition of a gate", () => {
  const conditional = async (condition: (joined: JoinPayload) => unknown) => {
    await service.registerFunction("condition", condition);
    const gateCalls = newCalls<JoinPayload>();
    await service.registerFunction("second", (joined: JoinPayload) => {
      gateCalls.record(asLeave(joined));
      return { unauthorized: true };
    });
    const config = { condition_function_id: "condition" };
    await service.registerTrigger({ ...GATE, config });
    return gateCalls;
  };

  it("that returns false skips the gate", async () => {
    const gateCalls = await conditional(() => false);
    await enter();
    expect(gateCalls.all).toEqual([]);
  });

  it.each([[undefined], [null], [true], [0], [""], ["false"], [[]], [{ unauthorized: false }]])(
    "that returns %j does not skip it, and receives the payload of the gate (G8)",
    async (answer) => {
      const conditionCalls = newCalls<JoinPayload>();
      const gateCalls = await conditional((joined) => {
        conditionCalls.record(asLeave(joined));
        return answer;
      });
      await refused();
      expect(gateCalls.all).toHaveLength(1);
      expect(conditionCalls.all).toStrictEqual(gateCalls.all);
      expect(gateCalls.all).toStrictEqual(gated.joins.all);
    },
  );

  it("that fails refuses, and the gate is not called (G8)", async () => {
    const gateCalls = await conditional(() => {
      throw new Error("broken");
    });
    await refused();
    expect(gateCalls.all).toEqual([]);
  });

  it("shares the timeout of its gate (G8)", async () => {
    const { gated: quick, service } = await open({ gateTimeoutMs: 150 });
    onTestFinished(() => quick.server.close());
    const slowly = async () => new Promise((resolve) => setTimeout(resolve, 100));
    await service.registerFunction("condition", slowly);
    await service.registerFunction("second", slowly);
    const config = { condition_function_id: "condition" };
    await service.registerTrigger({ ...GATE, config });
    await expect(visit(service, GROUP)).rejects.toMatchObject(REFUSED);
    expect(quick.problems.at(-1)?.message).toContain("150 ms");
  });
});

describe("a service whose join_gate is required", () => {
  it("refuses every join until a gate is registered, and after the last one is withdrawn (G8)", async () => {
    const service = createStreamService({ store: memoryStore(), joinGate: "required" });
    onTestFinished(() => service.close());
    const received = newCalls<JoinPayload>();
    await service.registerFunction("listener", received.record);
    await service.registerTrigger({ ...GATE, function_id: "listener", config: { gate: false } });
    // A join listener is not a gate.
    await expect(visit(service, GROUP)).rejects.toMatchObject(REFUSED);
    expect(received.all).toEqual([]);
    await service.registerFunction("second", () => undefined);
    const gate = await service.registerTrigger(GATE);
    await visit(service, GROUP);
    await received.count(1);
    await gate.unregister();
    await expect(visit(service, GROUP)).rejects.toMatchObject(REFUSED);
  });
});

describe("a gate whose provider is lost", () => {
  it("refuses joins until its provider returns or the trigger is unregistered (G8)", async () => {
    const register = async () => ({
      func: await service.registerFunction("second", () => undefined),
      trigger: await service.registerTrigger(GATE),
    });
    const first = await register();
    await enter();
    await Promise.all([first.trigger.unregister("lost"), first.func.unregister("lost")]);
    await refused();
    const again = await register();
    await enter();
    await again.func.unregister("lost");
    await refused();
    await again.trigger.unregister();
    await enter();
    expect(await gated.leavesSoFar()).toHaveLength(3);
  });

  it("refuses joins when only its function is withdrawn (G8)", async () => {
    const func = await service.registerFunction("second", () => undefined);
    await service.registerTrigger(GATE);
    await func.unregister();
    await refused();
  });
});

describe("a join listener (gate: false)", () => {
  const listen = async (handler: (joined: JoinPayload) => unknown) => {
    await service.registerFunction("second", handler);
    await service.registerTrigger({ ...GATE, config: { gate: false } });
  };

  it("is called after every gate allowed, and not for refused joins (G8)", async () => {
    const received = newCalls<JoinPayload>();
    await listen((joined) => received.record(asLeave(joined)));
    const gate = promised();
    gated.decide = () => gate.promise;
    const entering = enter();
    await gated.joins.count(1);
    expect(received.all).toEqual([]);
    gate.resolve();
    await entering;
    expect(await received.count(1)).toStrictEqual(gated.joins.all);
    gated.decide = () => ({ unauthorized: true });
    await refused();
    gated.decide = () => undefined;
    await visit(service, { ...GROUP, itemId: "last" });
    expect((await received.count(2)).map(({ id }) => id)).toEqual([null, "last"]);
  });

  it.each([
    ["refuses", () => ({ unauthorized: true })],
    [
      "fails",
      () => {
        throw new Error("no");
      },
    ],
    ["never returns", () => new Promise(() => {})],
  ])("that %s neither refuses nor delays joins", async (_, answer) => {
    await listen(answer);
    const frames = await service.subscribe(GROUP);
    expect((await frames.next()).value).toMatchObject({ kind: "sync" });
    await frames.return?.();
  });

  it("without a provider refuses no joins", async () => {
    await service.registerTrigger({ ...GATE, config: { gate: false } });
    await enter();
    expect(await gated.leaves.count(1)).toEqual(gated.joins.all);
  });
});
