import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { createStreamService, memoryStore } from "millrace";
import type { ServerOptions } from "millrace/server";
import { connect, upgrade } from "../bridge/line.ts";
import { SUBSCRIPTION_DOORS, doorNamed } from "../support/doors/doors.ts";
import { newCalls, promised } from "../support/gates/calls.ts";
import {
  type GatedServer,
  type JoinPayload,
  openGatedServer,
} from "../support/gates/gated-server.ts";

const GROUP = { streamName: "rooms", groupId: "g" };
const SHUTTING_DOWN = { code: "unavailable", reason: "SHUTTING_DOWN" };
/** Longer than any test: a test that waits for it fails. */
const FOREVER_MS = 100_000;

/** Opens a server that is closed after the test at the latest. */
async function open(options: ServerOptions = {}): Promise<GatedServer> {
  const gated = await openGatedServer({
    settleTimeoutMs: FOREVER_MS,
    gateTimeoutMs: 10_000,
    ...options,
  });
  onTestFinished(() => gated.server.close());
  return gated;
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

describe("a stop of the service", () => {
  it("delivers one leave per subscription, over every protocol, before close() resolves", async () => {
    const gated = await open();
    for (const door of SUBSCRIPTION_DOORS) {
      const client = door.client(gated);
      onTestFinished(() => client.close());
      const frames = await client.subscribe({ ...GROUP, groupId: door.name });
      await frames.next();
      // Subscribers that keep reading receive the reason of the end.
      frames.next().catch(() => {});
    }
    const line = await connect(gated.url, "/stream/rooms/url");
    for (const id of ["a", "b"]) line.join({ ...GROUP, id, subscriptionId: id });
    await line.count(3);
    await Promise.all([gated.server.close(), gated.server.close()]);
    expect(gated.joins.all).toHaveLength(SUBSCRIPTION_DOORS.length + 3);
    expect(sorted(gated.leaves.all)).toEqual(sorted(gated.joins.all));
    await gated.server.close();
    expect(gated.leaves.all).toHaveLength(gated.joins.all.length);
  });

  it("delivers the leaves in the library, too", async () => {
    const service = createStreamService({ store: memoryStore() });
    const leaves = newCalls<JoinPayload>();
    await service.registerFunction("leaves", leaves.record);
    await service.registerTrigger({ type: "stream:leave", function_id: "leaves" });
    const frames = await service.subscribe(GROUP);
    await service.close();
    expect(leaves.all).toMatchObject([{ group_id: "g", context: null }]);
    await expect(frames.next()).rejects.toMatchObject(SHUTTING_DOWN);
  });

  it("applies the writes of leave handlers before close() resolves (G6)", async () => {
    const folder = await newFolder();
    const gated = await open({
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
    const line = await connect(gated.url, "/");
    line.join({ ...GROUP, subscriptionId: "s1" });
    await line.count(1);
    await gated.service.set({ streamName: "here", groupId: "g", itemId: "s1", data: true });
    await gated.server.close();

    const after = await open(onDisk(folder));
    const { items } = await after.service.list({ streamName: "here", groupId: "g" });
    expect(items.map(({ itemId, data }) => [itemId, data])).toEqual([
      ["last", "s1"],
      ["called", 1],
    ]);
    // The leave was delivered exactly once.
    expect(await after.leavesSoFar()).toEqual([]);
  });

  it("accepts writes only from leave handlers, and no joins", async () => {
    const handler = promised();
    const begun = promised();
    const gated = await open({
      async setup(service) {
        await service.registerFunction("slow", async () => {
          begun.resolve();
          await handler.promise;
          await service.set({ ...GROUP, itemId: "left", data: 1 });
        });
        await service.registerTrigger({ type: "stream:leave", function_id: "slow" });
      },
    });
    const client = doorNamed("connect-h2-json").client(gated);
    onTestFinished(() => client.close());
    await client.list(GROUP);
    await gated.service.subscribe(GROUP);
    let isClosed = false;
    const closing = gated.server.close().then(() => (isClosed = true));
    await begun.promise;
    const data = { ...GROUP, itemId: "other", data: 1 };
    await expect(gated.service.set(data)).rejects.toMatchObject(SHUTTING_DOWN);
    await expect(client.set(data)).rejects.toThrow(/./);
    await expect(gated.service.subscribe(GROUP)).rejects.toMatchObject(SHUTTING_DOWN);
    expect(gated.joins.all).toHaveLength(1);
    expect(isClosed).toBe(false);
    handler.resolve();
    await closing;
    expect(gated.leaves.all).toHaveLength(1);
  });

  it("waits at most the settle timeout for a leave handler, whose leave is delivered after a restart", async () => {
    const folder = await newFolder();
    const gated = await open({ ...onDisk(folder), settleTimeoutMs: 100 });
    const stuck = await gated.service.registerFunction("stuck", () => new Promise(() => {}));
    await gated.service.registerTrigger({ type: "stream:leave", function_id: "stuck" });
    await gated.service.subscribe(GROUP);
    await gated.server.close();
    await stuck.unregister("lost");
    expect(gated.leaves.all).toEqual(gated.joins.all);

    const received = newCalls<JoinPayload>();
    const after = await open({
      ...onDisk(folder),
      setup: async (service) => void (await service.registerFunction("stuck", received.record)),
    });
    expect(await received.count(1)).toEqual(gated.joins.all);
    await after.server.close();
    expect(received.all).toHaveLength(1);
  });

  it("does not wait for leaves without a provider, which are delivered after a restart", async () => {
    const folder = await newFolder();
    const gated = await open(onDisk(folder));
    const provider = await gated.service.registerFunction("gone", () => {});
    await gated.service.registerTrigger({ type: "stream:leave", function_id: "gone" });
    await provider.unregister("lost");
    await gated.service.subscribe(GROUP);
    await gated.server.close();

    const received = newCalls<JoinPayload>();
    const after = await open(onDisk(folder));
    await after.service.registerFunction("gone", received.record);
    expect(await received.count(1)).toEqual(gated.joins.all);
    // A delivered leave may be delivered a second time, but never a third.
    await after.leavesSoFar();
    await after.server.close();
    const last = await open(onDisk(folder));
    expect(await last.leavesSoFar()).toEqual([]);
  });
});

describe("a join during a stop of the service", () => {
  it.each(["library", "grpc", "connect-h1-json"])(
    "is refused over %s, and has its leave before close() resolves when the gate allowed it",
    async (name) => {
      const gate = promised();
      const gated = await open();
      gated.decide = () => gate.promise;
      const client = doorNamed(name).client(gated);
      onTestFinished(() => client.close());
      const refusal = errorOf(client.subscribe(GROUP).then((frames) => frames.next()));
      await gated.joins.count(1);
      const closing = gated.server.close();
      gate.resolve();
      expect(await refusal).toMatchObject({ code: "unavailable" });
      await closing;
      expect(gated.leaves.all).toEqual(gated.joins.all);
    },
  );

  it("closes its socket, and has its leave before close() resolves when the gate allowed it", async () => {
    const gate = promised();
    const gated = await open();
    gated.decide = () => gate.promise;
    const line = await connect(gated.url, "/");
    line.join({ ...GROUP, subscriptionId: "s1" });
    await gated.joins.count(1);
    const closing = gated.server.close();
    gate.resolve();
    expect(await line.closed).toBe(1001);
    await closing;
    expect(line.frames).toEqual([]);
    expect(gated.leaves.all).toEqual(gated.joins.all);
  });

  it("has no leave when the gate refused it (G8)", async () => {
    const gate = promised<unknown>();
    const gated = await open();
    gated.decide = () => gate.promise;
    const refusal = errorOf(gated.service.subscribe(GROUP));
    await gated.joins.count(1);
    const closing = gated.server.close();
    gate.resolve({ unauthorized: true });
    expect(await refusal).toMatchObject({ reason: "JOIN_REFUSED" });
    await closing;
    expect(gated.leaves.all).toEqual([]);
  });

  it("gets 503 and never reaches the gate while its handshake waits for auth_function", async () => {
    const auth = promised<unknown>();
    const called = promised();
    const gated = await open({
      authFunction: "auth",
      async setup(service) {
        await service.registerFunction("auth", () => {
          called.resolve();
          return auth.promise;
        });
      },
    });
    const upgraded = upgrade(gated.url, "/stream/rooms/g");
    await called.promise;
    const closing = gated.server.close();
    auth.resolve({});
    expect((await upgraded).status).toBe(503);
    await closing;
    expect(gated.joins.all).toEqual([]);
  });
});
