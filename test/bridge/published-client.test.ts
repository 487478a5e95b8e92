import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import type * as StreamClient from "@motiadev/stream-client-node";
import { type Server, createServer } from "millrace/server";
import { type Order, client, reaches } from "./published-client.ts";
import { within } from "./within.ts";

describe("the published Node client", () => {
  let server: Server;
  let group = { streamName: "orders", groupId: "" };
  let groups = 0;

  beforeAll(async () => {
    server = await createServer({ port: 0, store: { kind: "in_memory" }, heartbeatIntervalMs: 50 });
  });
  afterAll(async () => server?.close());
  beforeEach(() => {
    group = { ...group, groupId: `g${++groups}` };
  });

  const set = async (id: string, n: number, where = group) =>
    server.service.set({ ...where, itemId: id, data: { id, n } });
  const followGroup = (stream: StreamClient.Stream, { streamName, groupId } = group) =>
    stream.subscribeGroup<Order>(streamName, groupId);
  const followItem = (stream: StreamClient.Stream, id: string) =>
    stream.subscribeItem<Order>(group.streamName, group.groupId, id);

  it("has the state of a group after a burst of writes", async () => {
    await set("before", 0);
    const orders = followGroup(client(server));
    await reaches(orders, (state) => state.length === 1);
    // Ten items, each written nine times and three of them deleted at the end: 93 writes, and
    // "before".
    const writes: Promise<unknown>[] = [];
    for (let n = 0; n < 9; n++)
      for (let item = 0; item < 10; item++) writes.push(set(`o-${item}`, n));
    for (const itemId of ["o-1", "o-4", "o-9"])
      writes.push(server.service.delete({ ...group, itemId }));
    for (let n = 1; n < 7; n++) writes.push(set("before", n));
    writes.push(set("last", 1));
    expect(writes).toHaveLength(100);
    await Promise.all(writes);
    const state = await reaches(orders, (all) => all.some(({ id }) => id === "last"));
    expect(state).toEqual([
      { id: "before", n: 6 },
      ...[0, 2, 3, 5, 6, 7, 8].map((item) => ({ id: `o-${item}`, n: 8 })),
      { id: "last", n: 1 },
    ]);
  });

  it("has the state of an item from its creation to its end", async () => {
    await set("other", 1);
    const order = followItem(client(server), "o-1");
    const synced = vi.fn<() => void>();
    const first = new Promise<void>((resolve) => {
      order.addChangeListener(synced);
      order.addChangeListener(() => resolve());
    });
    await within(first, () => "the first state");
    expect(order.getState()).toBeNull();
    await set("o-1", 1);
    await set("other", 2);
    expect(await reaches(order, (state) => state !== null)).toEqual({ id: "o-1", n: 1 });
    await set("o-1", 2);
    await reaches(order, (state) => state?.n === 2);
    await server.service.delete({ ...group, itemId: "o-1" });
    await reaches(order, (state) => state === null);
    expect(synced).toHaveBeenCalledTimes(4);
  });

  it("receives events of the group, and of an item those that name it", async () => {
    await set("o-1", 1);
    const stream = client(server);
    const [orders, order] = [followGroup(stream), followItem(stream, "o-1")];
    await Promise.all([
      reaches(orders, (state) => state.length === 1),
      reaches(order, (state) => state !== null),
    ]);
    const received: string[] = [];
    const ended = new Promise<void>((resolve) => orders.onEvent("end", () => resolve()));
    orders.onEvent("ring", (data) => received.push(`group ${JSON.stringify(data)}`));
    order.onEvent("ring", (data) => received.push(`item ${JSON.stringify(data)}`));
    const ring = { ...group, type: "ring" };
    await server.service.send({ ...ring, data: { n: 1 } });
    await server.service.send({ ...ring, data: { n: 2 }, itemId: "o-1" });
    await server.service.send({ ...ring, data: { n: 3 }, itemId: "o-2" });
    await server.service.send({ ...group, type: "other", data: null });
    await server.service.send({ ...group, type: "end", data: null });
    await within(ended, () => `the last event, it received ${received.join(", ")}`);
    expect(received.toSorted()).toEqual([
      'group {"n":1}',
      'group {"n":2}',
      'group {"n":3}',
      'item {"n":2}',
    ]);
  });

  it("keeps several subscriptions apart", async () => {
    const other = { ...group, groupId: `${group.groupId}-other` };
    const stream = client(server);
    const followed = [
      followGroup(stream),
      followGroup(stream, other),
      followGroup(stream),
    ] as const;
    const items = [followItem(stream, "a"), followItem(stream, "b")] as const;
    await set("a", 1);
    await set("b", 1, other);
    await set("b", 2);
    await set("a", 3);
    const [one, two, same] = await Promise.all([
      reaches(followed[0], (state) => state.some(({ n }) => n === 3)),
      reaches(followed[1], (state) => state.length === 1),
      reaches(followed[2], (state) => state.some(({ n }) => n === 3)),
    ]);
    expect(one).toEqual([
      { id: "a", n: 3 },
      { id: "b", n: 2 },
    ]);
    expect(two).toEqual([{ id: "b", n: 1 }]);
    expect(same).toEqual(one);
    await reaches(items[0], (state) => state?.n === 3);
    await reaches(items[1], (state) => state?.n === 2);
  });

  it("receives nothing more from subscriptions that it left, and everything from the others", async () => {
    const rest = { ...group, groupId: `${group.groupId}-rest` };
    await set("a", 1);
    await set("a", 1, rest);
    const stream = client(server);
    const [left, order] = [followGroup(stream), followItem(stream, "a")];
    await Promise.all([
      reaches(left, (state) => state.length === 1),
      reaches(order, (state) => state !== null),
    ]);
    left.close();
    order.close();
    // Its state proves that the leaves before it are done.
    const staying = followGroup(stream, rest);
    await reaches(staying, (state) => state.length === 1);
    const messages = vi.spyOn(stream, "messageListener");
    await set("a", 2);
    await set("a", 2, rest);
    await reaches(staying, (state) => state[0]?.n === 2);
    expect(messages).toHaveBeenCalledTimes(1);
    expect(left.getState()).toEqual([{ id: "a", n: 1 }]);
    expect(order.getState()).toEqual({ id: "a", n: 1 });
  });
});

describe("the published Node client, when the service starts again", () => {
  it("has the state and the later writes", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-published-client-"));
    onTestFinished(async () => rm(folder, { recursive: true, force: true }));
    const store = { kind: "file_based", folder } as const;
    let server = await createServer({ port: 0, store });
    onTestFinished(async () => server.close());
    const group = { streamName: "orders", groupId: "eu" };
    const set = async (id: string, n: number) =>
      server.service.set({ ...group, itemId: id, data: { id, n } });
    await set("a", 1);
    await set("b", 1);

    const stream = client(server);
    const orders = stream.subscribeGroup<Order>("orders", "eu");
    const order = stream.subscribeItem<Order>("orders", "eu", "a");
    await reaches(orders, (state) => state.length === 2);
    await set("a", 2);
    await reaches(order, (state) => state?.n === 2);

    const { port } = server;
    await server.close();
    // The client reconnects once, two seconds after the close, so the port has to be open by then.
    server = await createServer({ port, store });
    await server.service.delete({ ...group, itemId: "b" });
    await set("a", 3);
    await set("c", 1);
    expect(await reaches(orders, (state) => state.some(({ id }) => id === "c"))).toEqual([
      { id: "a", n: 3 },
      { id: "c", n: 1 },
    ]);
    await reaches(order, (state) => state?.n === 3);
    await set("a", 4);
    await set("d", 1);
    expect(await reaches(orders, (state) => state.some(({ id }) => id === "d"))).toEqual([
      { id: "a", n: 4 },
      { id: "c", n: 1 },
      { id: "d", n: 1 },
    ]);
    await reaches(order, (state) => state?.n === 4);
  });
});

describe("the published Node client, when its joins fail with a retryable error", () => {
  it("reconnects and has its data once a gate has its provider and the store can be read", async () => {
    let isDown = true;
    let [refused, failed] = [() => {}, () => {}];
    const joinsFailed = Promise.all([
      new Promise<void>((resolve) => (refused = resolve)),
      new Promise<void>((resolve) => (failed = resolve)),
    ]);
    const server = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      onProblem: ({ kind }) => kind === "join_refused" && refused(),
      async setup(service) {
        // The gate of a service whose worker has not started yet.
        const config = { condition_function_id: "is-order" };
        await service.registerTrigger({ type: "stream:join", function_id: "gate", config });
        await service.registerFunction(
          "is-order",
          ({ stream_name: name }: { stream_name: string }) => name === "orders",
        );
        await service.createStream("stock", {
          list() {
            if (!isDown) return [{ id: "tea", n: 3 }];
            failed();
            throw new Error("The database is down.");
          },
        });
      },
    });
    onTestFinished(async () => server.close());
    const item = { streamName: "orders", groupId: "eu", itemId: "a" };
    await server.service.set({ ...item, data: { id: "a", n: 1 } });
    const orders = client(server).subscribeGroup<Order>("orders", "eu");
    const stock = client(server).subscribeGroup<Order>("stock", "eu");
    await within(joinsFailed, () => "both joins to fail");
    isDown = false;
    await server.service.registerFunction("gate", () => undefined);
    expect(await reaches(orders, (state) => state.length > 0)).toEqual([{ id: "a", n: 1 }]);
    expect(await reaches(stock, (state) => state.length > 0)).toEqual([{ id: "tea", n: 3 }]);
  });
});
