import { cp, rm } from "node:fs/promises";
import { type ServerOptions, createServer } from "millrace/server";
import { registerWorker } from "millrace/worker";
import { describe, expect, it, onTestFinished } from "vitest";
import { recorder, until } from "../support/hosts/test-service.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { Projection, type StatePayload, contentOf } from "../support/triggers/projection.ts";
import { DISK, MEMORY, REDIS, type ServiceStore } from "../support/hosts/service-stores.ts";
import type { StoreOptions } from "../../src/server/open-store.ts";
import { SECRET } from "../webhooks/calling.ts";
import { answering, receive } from "../webhooks/receiver.ts";
import type { StreamPayload } from "./suite/firing.suite.ts";

const AUDIT = {
  type: "stream",
  function_id: "f",
  config: { stream_name: "chat", durable: "audit" },
};
const ITEM = { streamName: "chat", groupId: "g", itemId: "i" };

async function serve(store: StoreOptions, webhooks: ServerOptions["webhooks"] = []) {
  const server = await createServer({ port: 0, store, webhooks, settleTimeoutMs: 100 });
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= server.close());
  onTestFinished(close);
  return { service: server.service, url: server.url, close };
}

function workerAt(url: string) {
  const worker = registerWorker(url, { workerName: "test" });
  onTestFinished(() => worker.shutdown());
  return worker;
}

function describeSurvival({ open }: ServiceStore): void {
  it("outlive the service: what waited comes after a restart, in order, then what is new (G6)", async () => {
    const store = await open();
    const first = await serve(store);
    await first.service.registerTrigger(AUDIT);
    for (let n = 1; n <= 10; n++) await first.service.set({ ...ITEM, data: n });
    await first.close();
    const second = await serve(store);
    await second.service.set({ ...ITEM, data: 11 });
    // The provider registers its function only: the trigger is in force all along.
    const { calls, handler, received } = recorder<StreamPayload>();
    await second.service.registerFunction("f", handler);
    await second.service.set({ ...ITEM, data: 12 });
    await received(12);
    expect(calls.map(({ revision }) => revision)).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    // An event is pending until its handler has returned.
    await expect
      .poll(async () => (await second.service.listTriggers()).triggers)
      .toMatchObject([{ config: { durable: "audit" }, pending: 0 }]);
  });

  it('with start: "state" deliver after a restart the states that they had yet to deliver (G6)', async () => {
    const store = await open();
    const first = await serve(store);
    for (const groupId of ["a", "b", "c"])
      await first.service.set({ ...ITEM, groupId, data: groupId });
    await first.service.registerTrigger({
      ...AUDIT,
      config: { ...AUDIT.config, start: "state" },
    });
    await first.service.set({ ...ITEM, groupId: "a", data: "late" });
    await first.close();
    const { service } = await serve(store);
    const projection = new Projection();
    await service.registerFunction("f", (payload: StatePayload) => projection.take(payload));
    const content = JSON.stringify(await contentOf(service, "chat"));
    await until(
      () => JSON.stringify(projection.content()),
      (projected) => projected === content,
    );
    expect(projection.faults).toEqual([]);
    expect(projection.reasons.get("a")).toEqual(["registered"]);
  });
}

it("a durable trigger calls a webhook after the program that registered it has gone", async () => {
  const receiver = await receive(answering(200));
  const { service, url } = await serve(await MEMORY.open(), [
    { id: "f", url: receiver.url, secret: SECRET, allowPrivateAddresses: true },
  ]);
  const worker = workerAt(url);
  await worker.registerTrigger(AUDIT);
  await worker.shutdown();
  await service.set({ ...ITEM, data: 1 });
  await until(
    () => receiver.received,
    ({ length }) => length === 1,
  );
  expect(JSON.parse(receiver.received[0]?.body ?? "")).toMatchObject({ groupId: "g", revision: 1 });
});

describe("durable triggers on disk", () => {
  describeSurvival(DISK);

  it('with start: "state" start over when the data was restored from a copy, and say so (G4)', async () => {
    const { folder } = (await DISK.open()) as { folder: string };
    const first = await serve({ kind: "file_based", folder });
    const trigger = { ...AUDIT, config: { ...AUDIT.config, start: "state" } };
    const { handler, received } = recorder<StatePayload>();
    await first.service.registerFunction("f", handler);
    await first.service.registerTrigger(trigger);
    await first.service.set({ ...ITEM, groupId: "a", data: 1 });
    await first.service.set({ ...ITEM, groupId: "b", data: 1 });
    await received(2);
    await first.close();
    const copy = `${folder}-copy`;
    await cp(folder, copy, { recursive: true });
    onTestFinished(() => rm(copy, { recursive: true, force: true }));
    const { service } = await serve({ kind: "file_based", folder: copy });
    const projection = new Projection();
    await service.registerFunction("f", (payload: StatePayload) => projection.take(payload));
    await until(
      () => Array.from(projection.reasons),
      (reasons) => reasons.length === 2,
    );
    await service.set({ ...ITEM, groupId: "a", data: 2 });
    await service.registerTrigger(trigger);
    const content = JSON.stringify(await contentOf(service, "chat"));
    await until(
      () => JSON.stringify(projection.content()),
      (projected) => projected === content,
    );
    expect(Object.fromEntries(projection.reasons)).toEqual({
      a: ["lost_history"],
      b: ["lost_history"],
    });
    expect(projection.faults).toEqual([]);
  });
});

describeWithRedis("durable triggers on Redis", () => {
  describeSurvival(REDIS);

  it("record the events of every process of a fleet, and call a provider at any, once (G2)", async () => {
    const store = await REDIS.open();
    const [a, b, c] = [await serve(store), await serve(store), await serve(store)];
    const worker = workerAt(a.url);
    await worker.registerTrigger(AUDIT);
    await worker.shutdown();
    const services = [a.service, b.service, c.service];
    for (let n = 1; n <= 30; n++) await services[n % 3]?.set({ ...ITEM, data: n });
    expect((await b.service.listTriggers()).triggers).toMatchObject([
      { config: { durable: "audit" }, served: false, awaySinceMs: expect.any(Number) as number },
    ]);
    const { calls, handler, received } = recorder<StreamPayload>();
    const back = workerAt(c.url);
    await back.registerFunction("f", handler);
    await received(30);
    for (let n = 31; n <= 40; n++) await services[n % 3]?.set({ ...ITEM, data: n });
    await received(40);
    expect(calls.map(({ revision }) => revision)).toEqual(
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    // Counts of the whole fleet, whichever process owns the partition.
    await until(
      () => a.service.listTriggers(),
      ({ triggers }) => triggers[0]?.counts.fired === 40 && triggers[0].pending === 0,
    );
    expect(await b.service.deleteTrigger({ durable: "audit" })).toEqual({ deleted: true });
    for (const service of services) expect(service.triggers()).toEqual([]);
  });

  it("of a fleet go on at another process when the owner of their partition has gone", async () => {
    const store = await REDIS.open();
    const [a, b] = [await serve(store), await serve(store)];
    await a.service.registerTrigger({ ...AUDIT, config: { ...AUDIT.config, start: "state" } });
    const groups = Array.from({ length: 20 }, (_, i) => `g${i}`);
    for (const groupId of groups) await a.service.set({ ...ITEM, groupId, data: 1 });
    await a.close();
    for (const groupId of groups) await b.service.set({ ...ITEM, groupId, data: 2 });
    const projection = new Projection();
    await b.service.registerFunction("f", (payload: StatePayload) => projection.take(payload));
    const content = JSON.stringify(await contentOf(b.service, "chat"));
    await until(
      () => JSON.stringify(projection.content()),
      (projected) => projected === content,
    );
    expect(projection.faults).toEqual([]);
    expect(projection.calls).toBe(40);
  });
});
