import { describe, expect, it } from "vitest";
import { Code } from "@connectrpc/connect";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { stagesOf, until } from "../support/hosts/stage.ts";
import { openRawWorker, openWorker } from "../support/workers/raw-worker.ts";

const stage = stagesOf(inProcessHost);

async function providing(url: string, functionId: string, hello = {}) {
  const worker = await openWorker(url, hello);
  worker.say({ case: "registerFunction", value: { requestId: 1n, functionId } });
  expect((await worker.hears("registered")).error).toBeUndefined();
  return worker;
}

describe("WorkerService.Connect", () => {
  it("welcomes a worker, calls its function, and takes its answer", async () => {
    const { server, service } = await stage();
    const worker = await providing(server.url, "f");
    const answer = service.trigger({ function_id: "f", payload: { a: [1] }, timeout_ms: 5000 });
    const { invocationId, payload, metadata, timeoutMs } = await worker.hears("invoke");
    expect([JSON.parse(payload), metadata, timeoutMs]).toEqual([{ a: [1] }, "", 5000]);
    worker.say({
      case: "result",
      value: { invocationId, outcome: { case: "result", value: "7" } },
    });
    expect(await answer).toBe(7);
    worker.vanish();
  });

  it("refuses a worker that does not begin with hello", async () => {
    const { server } = await stage();
    const worker = openRawWorker(server.url);
    worker.say({ case: "heartbeat", value: {} });
    const error = await worker.ended;
    expect(error?.code).toBe(Code.InvalidArgument);
    expect(error?.rawMessage).toContain("the first message is not hello");
  });

  it.each([
    ["a second hello", { case: "hello" as const, value: {} }],
    ["an empty message", { case: undefined }],
  ])("ends with %s", async (_what, message) => {
    const { server, service } = await stage();
    const worker = await providing(server.url, "f");
    worker.say(message);
    expect((await worker.ended)?.code).toBe(Code.InvalidArgument);
    await expect(service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
  });

  it("ignores answers to calls that were never made, or were answered", async () => {
    const { server, service } = await stage();
    const worker = await providing(server.url, "f");
    const say = (invocationId: string, value: string) =>
      worker.say({
        case: "result",
        value: { invocationId, outcome: { case: "result", value } },
      });
    say("999", "1");
    const first = service.trigger({ function_id: "f" });
    const { invocationId } = await worker.hears("invoke");
    say(invocationId, '"one"');
    say(invocationId, '"two"');
    expect(await first).toBe("one");
    const second = service.trigger({ function_id: "f" });
    say((await worker.hears("invoke", 1)).invocationId, '"three"');
    expect(await second).toBe("three");
    worker.vanish();
  });

  it("fails a call whose answer is no JSON, or has an error", async () => {
    const { server, service } = await stage();
    const worker = await providing(server.url, "f");
    const garbage = service.trigger({ function_id: "f" });
    const { invocationId } = await worker.hears("invoke");
    worker.say({
      case: "result",
      value: { invocationId, outcome: { case: "result", value: "{" } },
    });
    await expect(garbage).rejects.toMatchObject({ code: "invocation_failed" });
    const failing = service.trigger({ function_id: "f" });
    const error = { code: "out_of_tea", message: "Buy some." };
    worker.say({
      case: "result",
      value: {
        invocationId: (await worker.hears("invoke", 1)).invocationId,
        outcome: { case: "error", value: error },
      },
    });
    await expect(failing).rejects.toMatchObject(error);
    worker.vanish();
  });

  it("sends no more calls at once than the worker grants", async () => {
    const { server, service } = await stage();
    const worker = await providing(server.url, "f", { credits: 2 });
    const answers = Array.from({ length: 5 }, () => service.trigger({ function_id: "f" }));
    const done = async (nth: number) => {
      const { invocationId } = await worker.hears("invoke", nth);
      worker.say({ case: "result", value: { invocationId } });
    };
    const invokes = () => worker.heard.filter((message) => message.case === "invoke").length;
    await worker.hears("invoke", 1);
    worker.say({ case: "heartbeat", value: {} });
    await worker.hears("heartbeat");
    expect(invokes()).toBe(2);
    await done(0);
    await worker.hears("invoke", 2);
    expect(invokes()).toBe(3);
    worker.say({ case: "credits", value: { more: 2 } });
    await worker.hears("invoke", 4);
    for (const nth of [1, 2, 3, 4]) await done(nth);
    expect(await Promise.all(answers)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    worker.vanish();
  });

  it("tells a worker that nobody waits for an answer, whose place stays taken until it answers", async () => {
    const { server, service } = await stage();
    const worker = await providing(server.url, "f", { credits: 1 });
    const late = service.trigger({ function_id: "f", timeout_ms: 30 });
    const { invocationId } = await worker.hears("invoke");
    await expect(late).rejects.toMatchObject({ code: "TIMEOUT" });
    expect((await worker.hears("cancel")).invocationId).toBe(invocationId);
    const next = service.trigger({ function_id: "f" });
    worker.say({ case: "result", value: { invocationId } });
    const second = await worker.hears("invoke", 1);
    worker.say({ case: "result", value: { invocationId: second.invocationId } });
    expect(await next).toBeUndefined();
    worker.vanish();
  });

  it("lets a worker that says goodbye answer what is under way, and gives it nothing more", async () => {
    const { server, service } = await stage();
    const leaving = await providing(server.url, "f");
    const staying = await providing(server.url, "f");
    const first = service.trigger({ function_id: "f" });
    const { invocationId } = await leaving.hears("invoke");
    const answerAll = async (worker: typeof leaving, name: string, nth: number) => {
      for (; ; nth++) {
        const invoke = await worker.hears("invoke", nth);
        const outcome = { case: "result" as const, value: JSON.stringify(name) };
        worker.say({ case: "result", value: { invocationId: invoke.invocationId, outcome } });
      }
    };
    answerAll(leaving, "leaving", 1).catch(() => {});
    answerAll(staying, "staying", 0).catch(() => {});
    leaving.say({ case: "goodbye", value: {} });
    // What was on its way when it said so may still reach it; nothing that comes later.
    const names: unknown[] = [];
    while (names.length < 4 || names.slice(-4).includes("leaving"))
      names.push(await service.trigger({ function_id: "f" }));
    leaving.say({
      case: "result",
      value: { invocationId, outcome: { case: "result", value: '"bye"' } },
    });
    expect(await leaving.ended).toBeUndefined();
    expect(await first).toBe("bye");
    staying.vanish();
  });

  it("gives a worker that comes back what it had, once, and lets nobody else have it", async () => {
    const { server, service } = await stage();
    const first = await providing(server.url, "f");
    first.say({
      case: "registerTrigger",
      value: {
        requestId: 2n,
        triggerId: "t",
        type: "stream",
        functionId: "f",
        config: '{"stream_name":"chat"}',
      },
    });
    await first.hears("registered", 1);
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
    // It may say it again: it is registered once all the same.
    back.say({ case: "registerFunction", value: { requestId: 1n, functionId: "f" } });
    await back.hears("registered");
    await service.set({ streamName: "chat", groupId: "g", itemId: "i", data: 1 });
    const { invocationId } = await back.hears("invoke");
    back.say({ case: "result", value: { invocationId } });
    await until(
      () => service.triggers()[0]?.counts.fired,
      (fired) => fired === 1,
    );
    expect(back.heard.filter((message) => message.case === "invoke")).toHaveLength(1);
    // While it is still there, another connection of it takes its place.
    const again = await openWorker(server.url, {
      previousWorkerId: back.previousWorkerId,
      reattachToken: back.reattachToken,
    });
    expect(await back.ended).toBeUndefined();
    const answer = service.trigger({ function_id: "f" });
    const call = await again.hears("invoke");
    again.say({ case: "result", value: { invocationId: call.invocationId } });
    expect(await answer).toBeUndefined();
    thief.vanish();
    again.vanish();
  });

  it("takes a worker for gone that has fallen silent", async () => {
    const { server, service } = await stage({ workerLimits: { silenceMs: 100 } });
    const worker = await providing(server.url, "f");
    const answer = service.trigger({ function_id: "f" });
    const refused = await answer.catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "invocation_stopped" });
    expect((await worker.ended)?.code).toBe(Code.ResourceExhausted);
  });

  it("refuses more registrations than a worker may have, and goes on", async () => {
    const { server, service } = await stage({ workerLimits: { maxRegistrations: 2 } });
    const worker = await providing(server.url, "f1");
    for (const [i, functionId] of ["f2", "f3"].entries())
      worker.say({ case: "registerFunction", value: { requestId: BigInt(i + 2), functionId } });
    expect((await worker.hears("registered", 2)).error?.code).toBe("overloaded");
    const answer = service.trigger({ function_id: "f2" });
    const { invocationId } = await worker.hears("invoke");
    worker.say({ case: "result", value: { invocationId } });
    await answer;
    worker.vanish();
  });

  it("does not read a worker that calls without end, and harms no other", async () => {
    const { server, service, join } = await stage({ workerLimits: { maxOwnCalls: 10 } });
    const client = await join();
    let running = 0;
    let most = 0;
    await client.registerFunction("slow", async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
    });
    const flood = await openWorker(server.url);
    const other = await providing(server.url, "f");
    for (let i = 0; i < 500; i++)
      flood.say({ case: "invoke", value: { invocationId: String(i), functionId: "slow" } });
    const answer = service.trigger({ function_id: "f" });
    const { invocationId } = await other.hears("invoke");
    other.say({ case: "result", value: { invocationId } });
    await answer;
    await flood.hears("result", 499);
    expect(most).toBeLessThanOrEqual(10);
    flood.vanish();
    other.vanish();
  });

  it("answers with an error what does not fit into a message, and lives on", async () => {
    const { server, service } = await stage();
    const worker = await providing(server.url, "f");
    const text = "x".repeat(900_000);
    for (let i = 0; i < 5; i++)
      await service.set({ streamName: "s", groupId: "g", itemId: `i${i}`, data: text });
    const payload = JSON.stringify({ stream_name: "s", group_id: "g" });
    worker.say({
      case: "invoke",
      value: { invocationId: "1", functionId: "stream::list", payload },
    });
    const { outcome } = await worker.hears("result");
    expect(outcome.case === "error" && outcome.value.code).toBe("payload_too_large");
    await expect(
      service.trigger({ function_id: "f", payload: text.repeat(4) }),
    ).rejects.toMatchObject({ code: "payload_too_large" });
    const answer = service.trigger({ function_id: "f" });
    const { invocationId } = await worker.hears("invoke");
    worker.say({ case: "result", value: { invocationId } });
    expect(await answer).toBeUndefined();
    worker.vanish();
  });

  it("gives a worker no more calls than the limit, whatever it grants", async () => {
    const { server, service } = await stage({ workerLimits: { maxOutstanding: 3 } });
    const worker = await providing(server.url, "f", { credits: 1_000_000 });
    const answers = Array.from({ length: 6 }, () => service.trigger({ function_id: "f" }));
    worker.say({ case: "credits", value: { more: 4_000_000_000 } });
    worker.say({ case: "heartbeat", value: {} });
    await worker.hears("heartbeat");
    expect(worker.heard.filter((message) => message.case === "invoke")).toHaveLength(3);
    for (let nth = 0; nth < 6; nth++) {
      const { invocationId } = await worker.hears("invoke", nth);
      worker.say({ case: "result", value: { invocationId } });
    }
    await Promise.all(answers);
    worker.vanish();
  });

  it("makes calls with nobody waiting, and refuses payloads that are no JSON", async () => {
    const { server, join } = await stage();
    const client = await join();
    const payloads: unknown[] = [];
    await client.registerFunction("f", (payload) => {
      payloads.push(payload);
    });
    const worker = await openWorker(server.url);
    const invoke = { functionId: "f", payload: '{"n":1}' };
    worker.say({ case: "invoke", value: { ...invoke, invocationId: "1", noAnswer: true } });
    worker.say({ case: "invoke", value: { ...invoke, invocationId: "2", payload: "{" } });
    const { invocationId, outcome } = await worker.hears("result");
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
