import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { createStreamService, memoryStore } from "millrace";
import type { ServerOptions } from "millrace/server";
import { connect, upgrade } from "../bridge/line.ts";
import { SUBSCRIPTION_DOORS, doorNamed } from "../support/doors/doors.ts";
import { newCalls, promised } from "../support/gates/calls.ts";
import { type Gatehouse, type JoinPayload, openGatehouse } from "../support/gates/gatehouse.ts";

const GROUP = { streamName: "rooms", groupId: "g" };
const SHUTTING_DOWN = { code: "unavailable", reason: "SHUTTING_DOWN" };
/** Longer than any test: a test that waits for it fails. */
const FOR_EVER_MS = 100_000;

/** Opens a server that is closed when the test ends, if not before. */
async function open(options: ServerOptions = {}): Promise<Gatehouse> {
  const house = await openGatehouse({
    settleTimeoutMs: FOR_EVER_MS,
    gateTimeoutMs: 10_000,
    ...options,
  });
  onTestFinished(() => house.server.close());
  return house;
}

/** A new folder for a store on disk. */
async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-drain-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const onDisk = (folder: string) => ({ store: { kind: "file_based", folder } }) as const;
const sorted = (payloads: readonly JoinPayload[]) =>
  payloads.map((each) => JSON.stringify(each)).toSorted();

const errorOf = async (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

describe("when the service stops", () => {
  it("every subscription, over every protocol, has had one leave when close() resolves", async () => {
    const house = await open();
    for (const door of SUBSCRIPTION_DOORS) {
      const client = door.client(house);
      onTestFinished(() => client.close());
      const frames = await client.subscribe({ ...GROUP, groupId: door.name });
      await frames.next();
      // Subscribers that keep reading receive the reason of the end.
      frames.next().catch(() => {});
    }
    const line = await connect(house.url, "/stream/rooms/url");
    for (const id of ["a", "b"]) line.join({ ...GROUP, id, subscriptionId: id });
    await line.count(3);
    await Promise.all([house.server.close(), house.server.close()]);
    expect(house.joins.all).toHaveLength(SUBSCRIPTION_DOORS.length + 3);
    expect(sorted(house.leaves.all)).toEqual(sorted(house.joins.all));
    await house.server.close();
    expect(house.leaves.all).toHaveLength(house.joins.all.length);
  });

  it("the library delivers the leaves, too", async () => {
    const service = createStreamService({ store: memoryStore() });
    const leaves = newCalls<JoinPayload>();
    await service.registerFunction("leaves", leaves.record);
    await service.registerTrigger({ type: "stream:leave", function_id: "leaves" });
    const frames = await service.subscribe(GROUP);
    await service.close();
    expect(leaves.all).toMatchObject([{ group_id: "g", context: null }]);
    await expect(frames.next()).rejects.toMatchObject(SHUTTING_DOWN);
  });

  it("the writes of leave handlers have taken effect when close() resolves (G6)", async () => {
    const folder = await newFolder();
    const house = await open({
      ...onDisk(folder),
      async setup(service) {
        await service.registerFunction("absent", async (left: JoinPayload) => {
          const here = { streamName: "here", groupId: left.group_id, itemId: left.subscription_id };
          await service.delete(here);
          await service.set({ ...here, itemId: "last", data: left.subscription_id });
          await service.trigger({
            function_id: "stream::set",
            payload: { stream_name: "here", group_id: left.group_id, item_id: "called", data: 1 },
          });
        });
        await service.registerTrigger({ type: "stream:leave", function_id: "absent" });
      },
    });
    const line = await connect(house.url, "/");
    line.join({ ...GROUP, subscriptionId: "s1" });
    await line.count(1);
    await house.service.set({ streamName: "here", groupId: "g", itemId: "s1", data: true });
    await house.server.close();

    const after = await open(onDisk(folder));
    const { items } = await after.service.list({ streamName: "here", groupId: "g" });
    expect(items.map(({ itemId, data }) => [itemId, data])).toEqual([
      ["last", "s1"],
      ["called", 1],
    ]);
    // The leave was delivered exactly once.
    expect(await after.leavesSoFar()).toEqual([]);
  });

  it("only leave handlers can write, and no client can join", async () => {
    const handler = promised();
    const begun = promised();
    const house = await open({
      async setup(service) {
        await service.registerFunction("slow", async () => {
          begun.resolve();
          await handler.promise;
          await service.set({ ...GROUP, itemId: "left", data: 1 });
        });
        await service.registerTrigger({ type: "stream:leave", function_id: "slow" });
      },
    });
    const client = doorNamed("connect-h2-json").client(house);
    onTestFinished(() => client.close());
    await client.list(GROUP);
    await house.service.subscribe(GROUP);
    let isClosed = false;
    const closing = house.server.close().then(() => (isClosed = true));
    await begun.promise;
    const data = { ...GROUP, itemId: "other", data: 1 };
    await expect(house.service.set(data)).rejects.toMatchObject(SHUTTING_DOWN);
    await expect(client.set(data)).rejects.toThrow(/./);
    await expect(house.service.subscribe(GROUP)).rejects.toMatchObject(SHUTTING_DOWN);
    expect(house.joins.all).toHaveLength(1);
    expect(isClosed).toBe(false);
    handler.resolve();
    await closing;
    expect(house.leaves.all).toHaveLength(1);
  });

  it("a leave handler that never ends delays close() by the settle timeout only; on disk its leave is delivered at the next start", async () => {
    const folder = await newFolder();
    const house = await open({ ...onDisk(folder), settleTimeoutMs: 100 });
    const stuck = await house.service.registerFunction("stuck", () => new Promise(() => {}));
    await house.service.registerTrigger({ type: "stream:leave", function_id: "stuck" });
    await house.service.subscribe(GROUP);
    await house.server.close();
    await stuck.unregister("lost");
    expect(house.leaves.all).toEqual(house.joins.all);

    const received = newCalls<JoinPayload>();
    const after = await open({
      ...onDisk(folder),
      setup: async (service) => void (await service.registerFunction("stuck", received.record)),
    });
    expect(await received.count(1)).toEqual(house.joins.all);
    await after.server.close();
    expect(received.all).toHaveLength(1);
  });

  it("leaves without a provider do not delay close(); on disk they are delivered at the next start", async () => {
    const folder = await newFolder();
    const house = await open(onDisk(folder));
    const provider = await house.service.registerFunction("gone", () => {});
    await house.service.registerTrigger({ type: "stream:leave", function_id: "gone" });
    await provider.unregister("lost");
    await house.service.subscribe(GROUP);
    await house.server.close();

    const received = newCalls<JoinPayload>();
    const after = await open(onDisk(folder));
    await after.service.registerFunction("gone", received.record);
    expect(await received.count(1)).toEqual(house.joins.all);
    // A delivered leave may be delivered a second time, but never a third.
    await after.leavesSoFar();
    await after.server.close();
    const last = await open(onDisk(folder));
    expect(await last.leavesSoFar()).toEqual([]);
  });
});

describe("while the service stops", () => {
  it.each(["library", "grpc", "connect-h1-json"])(
    "a join at the gate is refused over %s; what the gate allowed has its leave before close() resolves",
    async (name) => {
      const gate = promised();
      const house = await open();
      house.decide = () => gate.promise;
      const client = doorNamed(name).client(house);
      onTestFinished(() => client.close());
      const refusal = errorOf(client.subscribe(GROUP).then((frames) => frames.next()));
      await house.joins.count(1);
      const closing = house.server.close();
      gate.resolve();
      expect(await refusal).toMatchObject({ code: "unavailable" });
      await closing;
      expect(house.leaves.all).toEqual(house.joins.all);
    },
  );

  it("so has a join of a socket", async () => {
    const gate = promised();
    const house = await open();
    house.decide = () => gate.promise;
    const line = await connect(house.url, "/");
    line.join({ ...GROUP, subscriptionId: "s1" });
    await house.joins.count(1);
    const closing = house.server.close();
    gate.resolve();
    expect(await line.closed).toBe(1001);
    await closing;
    expect(line.frames).toEqual([]);
    expect(house.leaves.all).toEqual(house.joins.all);
  });

  it("a subscription refused at the gate has no leave (G8)", async () => {
    const gate = promised<unknown>();
    const house = await open();
    house.decide = () => gate.promise;
    const refusal = errorOf(house.service.subscribe(GROUP));
    await house.joins.count(1);
    const closing = house.server.close();
    gate.resolve({ unauthorized: true });
    expect(await refusal).toMatchObject({ reason: "JOIN_REFUSED" });
    await closing;
    expect(house.leaves.all).toEqual([]);
  });

  it("a handshake that waits for auth_function gets 503, and joins nothing", async () => {
    const auth = promised<unknown>();
    const asked = promised();
    const house = await open({
      authFunction: "auth",
      async setup(service) {
        await service.registerFunction("auth", () => {
          asked.resolve();
          return auth.promise;
        });
      },
    });
    const answered = upgrade(house.url, "/stream/rooms/g");
    await asked.promise;
    const closing = house.server.close();
    auth.resolve({});
    expect((await answered).status).toBe(503);
    await closing;
    expect(house.joins.all).toEqual([]);
  });
});
