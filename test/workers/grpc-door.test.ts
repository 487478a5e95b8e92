import { describe, expect, it } from "vitest";
import { Code } from "@connectrpc/connect";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { testServiceOn, until } from "../support/hosts/test-service.ts";
import { openRawWorker, openWorker } from "../support/workers/raw-worker.ts";

const testService = testServiceOn(inProcessHost);

async function providing(url: string, functionId: string, hello = {}) {
  const worker = await openWorker(url, hello);
  worker.send({ case: "registerFunction", value: { requestId: 1n, functionId } });
  expect((await worker.receives("registered")).error).toBeUndefined();
  return worker;
}

describe("WorkerService.Connect", () => {
  it("welcomes a worker, calls its function, and receives the result", async () => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "f");
    const result = service.trigger({ function_id: "f", payload: { a: [1] }, timeout_ms: 5000 });
    const { invocationId, payload, metadata, timeoutMs } = await worker.receives("invoke");
    expect([JSON.parse(payload), metadata, timeoutMs]).toEqual([{ a: [1] }, "", 5000]);
    worker.send({
      case: "result",
      value: { invocationId, outcome: { case: "result", value: "7" } },
    });
    expect(await result).toBe(7);
    worker.vanish();
  });

  it("refuses a worker that does not begin with hello", async () => {
    const { server } = await testService();
    const worker = openRawWorker(server.url);
    worker.send({ case: "heartbeat", value: {} });
    const error = await worker.ended;
    expect(error?.code).toBe(Code.InvalidArgument);
    expect(error?.rawMessage).toContain("the first message is not hello");
  });

  it.each([
    ["a second hello", { case: "hello" as const, value: {} }],
    ["an empty message", { case: undefined }],
  ])("ends with %s", async (_what, message) => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "f");
    worker.send(message);
    expect((await worker.ended)?.code).toBe(Code.InvalidArgument);
    await expect(service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
  });

  it("ignores results of calls that were never made or have already ended", async () => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "f");
    const send = (invocationId: string, value: string) =>
      worker.send({
        case: "result",
        value: { invocationId, outcome: { case: "result", value } },
      });
    send("999", "1");
    const first = service.trigger({ function_id: "f" });
    const { invocationId } = await worker.receives("invoke");
    send(invocationId, '"one"');
    send(invocationId, '"two"');
    expect(await first).toBe("one");
    const second = service.trigger({ function_id: "f" });
    send((await worker.receives("invoke", 1)).invocationId, '"three"');
    expect(await second).toBe("three");
    worker.vanish();
  });

  it("fails a call whose result is not JSON or is an error", async () => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "f");
    const garbage = service.trigger({ function_id: "f" });
    const { invocationId } = await worker.receives("invoke");
    worker.send({
      case: "result",
      value: { invocationId, outcome: { case: "result", value: "{" } },
    });
    await expect(garbage).rejects.toMatchObject({ code: "invocation_failed" });
    const failing = service.trigger({ function_id: "f" });
    const error = { code: "out_of_tea", message: "Buy some." };
    worker.send({
      case: "result",
      value: {
        invocationId: (await worker.receives("invoke", 1)).invocationId,
        outcome: { case: "error", value: error },
      },
    });
    await expect(failing).rejects.toMatchObject(error);
    worker.vanish();
  });

  it("sends at most as many concurrent calls as the worker grants credits", async () => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "f", { credits: 2 });
    const results = Array.from({ length: 5 }, () => service.trigger({ function_id: "f" }));
    const done = async (nth: number) => {
      const { invocationId } = await worker.receives("invoke", nth);
      worker.send({ case: "result", value: { invocationId } });
    };
    const invokes = () => worker.received.filter((message) => message.case === "invoke").length;
    await worker.receives("invoke", 1);
    worker.send({ case: "heartbeat", value: {} });
    await worker.receives("heartbeat");
    expect(invokes()).toBe(2);
    await done(0);
    await worker.receives("invoke", 2);
    expect(invokes()).toBe(3);
    worker.send({ case: "credits", value: { more: 2 } });
    await worker.receives("invoke", 4);
    for (const nth of [1, 2, 3, 4]) await done(nth);
    expect(await Promise.all(results)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    worker.vanish();
  });

  it("notifies a worker of a cancelled call, which holds its credit until the worker responds", async () => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "f", { credits: 1 });
    const late = service.trigger({ function_id: "f", timeout_ms: 30 });
    const { invocationId } = await worker.receives("invoke");
    await expect(late).rejects.toMatchObject({ code: "TIMEOUT" });
    expect((await worker.receives("cancel")).invocationId).toBe(invocationId);
    const next = service.trigger({ function_id: "f" });
    worker.send({ case: "result", value: { invocationId } });
    const second = await worker.receives("invoke", 1);
    worker.send({ case: "result", value: { invocationId: second.invocationId } });
    expect(await next).toBeUndefined();
    worker.vanish();
  });

  it("lets a worker finish its calls after goodbye, and sends it no more", async () => {
    const { server, service } = await testService();
    const leaving = await providing(server.url, "f");
    const staying = await providing(server.url, "f");
    const first = service.trigger({ function_id: "f" });
    const { invocationId } = await leaving.receives("invoke");
    const respondToAll = async (worker: typeof leaving, name: string, nth: number) => {
      for (; ; nth++) {
        const invoke = await worker.receives("invoke", nth);
        const outcome = { case: "result" as const, value: JSON.stringify(name) };
        worker.send({ case: "result", value: { invocationId: invoke.invocationId, outcome } });
      }
    };
    respondToAll(leaving, "leaving", 1).catch(() => {});
    respondToAll(staying, "staying", 0).catch(() => {});
    leaving.send({ case: "goodbye", value: {} });
    // Calls sent before the goodbye arrived may still reach it; later ones may not.
    const names: unknown[] = [];
    while (names.length < 4 || names.slice(-4).includes("leaving"))
      names.push(await service.trigger({ function_id: "f" }));
    leaving.send({
      case: "result",
      value: { invocationId, outcome: { case: "result", value: '"bye"' } },
    });
    expect(await leaving.ended).toBeUndefined();
    expect(await first).toBe("bye");
    staying.vanish();
  });

  it("restores the registrations of a worker that reattaches, once, and only with its token", async () => {
    const { server, service } = await testService();
    const first = await providing(server.url, "f");
    first.send({
      case: "registerTrigger",
      value: {
        requestId: 2n,
        triggerId: "t",
        type: "stream",
        functionId: "f",
        config: '{"stream_name":"chat"}',
      },
    });
    await first.receives("registered", 1);
    first.vanish();
    await until(
      () => service.triggers()[0]?.served,
      (served) => served === false,
    );
    const { previousWorkerId, reattachToken } = first;
    const thief = await openWorker(server.url, { previousWorkerId, reattachToken: "guessed" });
    await expect(service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
    const back = await openWorker(server.url, { previousWorkerId, reattachToken });
    await until(
      () => service.triggers()[0]?.served,
      (served) => served === true,
    );
    // The worker may register the function again: it is still registered once.
    back.send({ case: "registerFunction", value: { requestId: 1n, functionId: "f" } });
    await back.receives("registered");
    await service.set({ streamName: "chat", groupId: "g", itemId: "i", data: 1 });
    const { invocationId } = await back.receives("invoke");
    back.send({ case: "result", value: { invocationId } });
    await until(
      () => service.triggers()[0]?.counts.fired,
      (fired) => fired === 1,
    );
    expect(back.received.filter((message) => message.case === "invoke")).toHaveLength(1);
    // A new connection replaces one that is still open.
    const again = await openWorker(server.url, {
      previousWorkerId: back.previousWorkerId,
      reattachToken: back.reattachToken,
    });
    expect(await back.ended).toBeUndefined();
    const result = service.trigger({ function_id: "f" });
    const call = await again.receives("invoke");
    again.send({ case: "result", value: { invocationId: call.invocationId } });
    expect(await result).toBeUndefined();
    thief.vanish();
    again.vanish();
  });

  it("ends the connection of a silent worker", async () => {
    const { server, service } = await testService({ workerLimits: { silenceMs: 100 } });
    const worker = await providing(server.url, "f");
    const result = service.trigger({ function_id: "f" });
    const refused = await result.catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "invocation_stopped" });
    expect((await worker.ended)?.code).toBe(Code.ResourceExhausted);
  });

  it("refuses registrations above the limit, and continues", async () => {
    const { server, service } = await testService({ workerLimits: { maxRegistrations: 2 } });
    const worker = await providing(server.url, "f1");
    for (const [i, functionId] of ["f2", "f3"].entries())
      worker.send({ case: "registerFunction", value: { requestId: BigInt(i + 2), functionId } });
    expect((await worker.receives("registered", 2)).error?.code).toBe("overloaded");
    const result = service.trigger({ function_id: "f2" });
    const { invocationId } = await worker.receives("invoke");
    worker.send({ case: "result", value: { invocationId } });
    await result;
    worker.vanish();
  });

  it("stops reading a worker that floods it with calls, without effect on others", async () => {
    const { server, service, join } = await testService({ workerLimits: { maxOwnCalls: 10 } });
    const client = await join();
    let running = 0;
    let peak = 0;
    await client.registerFunction("slow", async () => {
      peak = Math.max(peak, ++running);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
    });
    const flood = await openWorker(server.url);
    const other = await providing(server.url, "f");
    for (let i = 0; i < 500; i++)
      flood.send({ case: "invoke", value: { invocationId: String(i), functionId: "slow" } });
    const result = service.trigger({ function_id: "f" });
    const { invocationId } = await other.receives("invoke");
    other.send({ case: "result", value: { invocationId } });
    await result;
    await flood.receives("result", 499);
    expect(peak).toBeLessThanOrEqual(10);
    flood.vanish();
    other.vanish();
  });

  it("responds with an error to calls that do not fit into a message, and continues", async () => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "f");
    const text = "x".repeat(900_000);
    for (let i = 0; i < 5; i++)
      await service.set({ streamName: "s", groupId: "g", itemId: `i${i}`, data: text });
    const payload = JSON.stringify({ stream_name: "s", group_id: "g" });
    worker.send({
      case: "invoke",
      value: { invocationId: "1", functionId: "stream::list", payload },
    });
    const { outcome } = await worker.receives("result");
    expect(outcome.case === "error" && outcome.value.code).toBe("payload_too_large");
    await expect(
      service.trigger({ function_id: "f", payload: text.repeat(4) }),
    ).rejects.toMatchObject({ code: "payload_too_large" });
    const result = service.trigger({ function_id: "f" });
    const { invocationId } = await worker.receives("invoke");
    worker.send({ case: "result", value: { invocationId } });
    expect(await result).toBeUndefined();
    worker.vanish();
  });

  it("sends a worker no more calls than the limit, whatever credits it grants", async () => {
    const { server, service } = await testService({ workerLimits: { maxOutstanding: 3 } });
    const worker = await providing(server.url, "f", { credits: 1_000_000 });
    const results = Array.from({ length: 6 }, () => service.trigger({ function_id: "f" }));
    worker.send({ case: "credits", value: { more: 4_000_000_000 } });
    worker.send({ case: "heartbeat", value: {} });
    await worker.receives("heartbeat");
    expect(worker.received.filter((message) => message.case === "invoke")).toHaveLength(3);
    for (let nth = 0; nth < 6; nth++) {
      const { invocationId } = await worker.receives("invoke", nth);
      worker.send({ case: "result", value: { invocationId } });
    }
    await Promise.all(results);
    worker.vanish();
  });

  it("makes calls without a response, and refuses payloads that are not JSON", async () => {
    const { server, join } = await testService();
    const client = await join();
    const payloads: unknown[] = [];
    await client.registerFunction("f", (payload) => {
      payloads.push(payload);
    });
    const worker = await openWorker(server.url);
    const invoke = { functionId: "f", payload: '{"n":1}' };
    worker.send({ case: "invoke", value: { ...invoke, invocationId: "1", noAnswer: true } });
    worker.send({ case: "invoke", value: { ...invoke, invocationId: "2", payload: "{" } });
    const { invocationId, outcome } = await worker.receives("result");
    expect([invocationId, outcome.case === "error" && outcome.value.code]).toEqual([
      "2",
      "deserialization_error",
    ]);
    await until(
      () => payloads.length,
      (length) => length === 1,
    );
    expect(payloads).toEqual([{ n: 1 }]);
    worker.vanish();
  });
});
