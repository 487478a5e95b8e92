import { describe, expect, it } from "vitest";
import type { StreamService } from "millrace";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { testServiceOn } from "../support/hosts/test-service.ts";
import { openWorker } from "../support/workers/raw-worker.ts";

const testService = testServiceOn(inProcessHost);
const GROUP = { streamName: "s", groupId: "g" };

type Worker = Awaited<ReturnType<typeof openWorker>>;

async function providing(url: string, ...functionIds: readonly string[]): Promise<Worker> {
  const worker = await openWorker(url);
  for (const [i, functionId] of functionIds.entries()) {
    worker.send({ case: "registerFunction", value: { requestId: BigInt(i), functionId } });
    await worker.receives("registered", i);
  }
  return worker;
}

/** Writes an item by a call with the given cause. @returns its author. */
async function authorWith(service: StreamService, worker: Worker, cause: string): Promise<string> {
  const itemId = crypto.randomUUID();
  const nth = worker.received.filter((message) => message.case === "result").length;
  const payload = JSON.stringify({ stream_name: "s", group_id: "g", item_id: itemId, data: 1 });
  worker.send({
    case: "invoke",
    value: { invocationId: itemId, functionId: "stream::set", payload, cause },
  });
  expect((await worker.receives("result", nth)).outcome.case).toBe("result");
  return (await service.get({ ...GROUP, itemId }))?.author ?? "there is no item";
}

describe("a write of a worker over gRPC", () => {
  it("has the function of the call whose cause it carries as author, while the call is open", async () => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "one", "two");
    const calls = [
      service.trigger({ function_id: "one" }),
      service.trigger({ function_id: "two" }),
    ];
    const one = await worker.receives("invoke", 0);
    const two = await worker.receives("invoke", 1);
    expect(await authorWith(service, worker, two.cause)).toBe("function:two");
    expect(await authorWith(service, worker, one.cause)).toBe("function:one");
    for (const { invocationId } of [one, two])
      worker.send({ case: "result", value: { invocationId } });
    await Promise.all(calls);
    expect(await authorWith(service, worker, one.cause)).toBe("");
    expect(await authorWith(service, worker, "")).toBe("");
    worker.vanish();
  });

  it("has none after its caller gave up", async () => {
    const { server, service } = await testService();
    const worker = await providing(server.url, "one");
    const late = service.trigger({ function_id: "one", timeout_ms: 20 });
    const { cause } = await worker.receives("invoke");
    await expect(late).rejects.toMatchObject({ code: "TIMEOUT" });
    await worker.receives("cancel");
    expect(await authorWith(service, worker, cause)).toBe("");
    worker.vanish();
  });

  it("cannot claim the call of another worker, or a function by its name", async () => {
    const { server, service } = await testService();
    const honest = await providing(server.url, "bank::pay");
    const other = await providing(server.url, "other");
    const paying = service.trigger({ function_id: "bank::pay" });
    const { cause, invocationId } = await honest.receives("invoke");
    const claims = [
      cause,
      invocationId,
      JSON.stringify([1, invocationId]),
      JSON.stringify([1, "\u0000bank::pay"]),
      JSON.stringify([1, "bank::pay"]),
      JSON.stringify([1, "\u0000"]),
      JSON.stringify({ functionId: "bank::pay" }),
      "bank::pay",
    ];
    for (const claim of claims) expect(await authorWith(service, other, claim)).toBe("");
    expect(await authorWith(service, honest, cause)).toBe("function:bank::pay");
    honest.send({ case: "result", value: { invocationId } });
    await paying;
    honest.vanish();
    other.vanish();
  });
});
