import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { memoryStore } from "millrace";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import { openProxy } from "../support/doors/proxy.ts";
import { type Order, client, reaches } from "./published-client.ts";

/*
 * Clients that order by time drop a sync that is older than the last frame they saw. They reconnect once,
 * two seconds after a close, so the port has to be open by then.
 */

const group = { streamName: "orders", groupId: "eu" };

async function open(options: ServerOptions): Promise<Server> {
  const server = await createServer(options);
  onTestFinished(() => server.close());
  return server;
}

/** Writes items, one after another. */
async function write({ service }: Server, items: Readonly<Record<string, number>>): Promise<void> {
  for (const [id, n] of Object.entries(items))
    await service.set({ ...group, itemId: id, data: { id, n } });
}

/** A client that has seen the items a, b and c, each of them changed by an event. */
async function follower(server: Server, url = server.url) {
  await write(server, { a: 1, b: 1, c: 1 });
  const stream = client({ url });
  const orders = stream.subscribeGroup<Order>("orders", "eu");
  const order = stream.subscribeItem<Order>("orders", "eu", "a");
  await reaches(orders, (state) => state.length === 3);
  await write(server, { a: 2, b: 2, c: 2 });
  await reaches(orders, (state) => state.every(({ n }) => n === 2));
  await reaches(order, (state) => state?.n === 2);
  return { orders, order };
}

describe("the published Node client, when it reconnects to an epoch that it cannot know", () => {
  it("has no items of a group that was emptied and forgotten while it was away", async () => {
    const store = memoryStore({ history: { maxAgeMs: 50 }, sweepIntervalMs: 20 });
    const server = await open({ port: 0, store });
    const line = await openProxy(Number(new URL(server.url).port));
    onTestFinished(() => line.close());
    const { orders, order } = await follower(server, line.url);
    line.cut();
    for (const itemId of ["a", "b", "c"]) await server.service.delete({ ...group, itemId });
    await vi.waitFor(async () => {
      expect(await store.heads([group])).toMatchObject([{ position: { epoch: "" } }]);
    });
    expect(await reaches(orders, (state) => state.length === 0)).toEqual([]);
    expect(await reaches(order, (state) => state === null)).toBeNull();
    await write(server, { a: 7, b: 7 });
    await reaches(order, (state) => state?.n === 7);
    await reaches(orders, (state) => state.length === 2);
  });

  it("has the new state after a restart without data", async () => {
    const first = await open({ port: 0, store: { kind: "in_memory" } });
    const { orders, order } = await follower(first);
    const { port } = first;
    await first.close();
    const second = await open({ port, store: { kind: "in_memory" } });
    expect(await reaches(orders, (state) => state.length === 0)).toEqual([]);
    expect(await reaches(order, (state) => state === null)).toBeNull();
    await write(second, { a: 5, z: 1 });
    await write(second, { a: 6 });
    expect(await reaches(orders, (state) => state[0]?.n === 6)).toEqual([
      { id: "a", n: 6 },
      { id: "z", n: 1 },
    ]);
    await reaches(order, (state) => state?.n === 6);
  });

  it("has the state of a backup that was restored", async () => {
    const top = await mkdtemp(join(tmpdir(), "millrace-published-client-"));
    onTestFinished(() => rm(top, { recursive: true, force: true }));
    const [folder, backup] = [join(top, "data"), join(top, "backup")];
    const store = { kind: "file_based", folder } as const;
    const before = await open({ port: 0, store });
    await write(before, { a: -1 });
    await before.close();
    await cp(folder, backup, { recursive: true });
    const first = await open({ port: before.port, store });
    const { orders, order } = await follower(first);
    const { port } = first;
    await first.close();
    await rm(folder, { recursive: true });
    await cp(backup, folder, { recursive: true });
    const restored = await open({ port, store });
    expect(await reaches(orders, (state) => state.length === 1)).toEqual([{ id: "a", n: -1 }]);
    expect(await reaches(order, (state) => state?.n === -1)).toEqual({ id: "a", n: -1 });
    await write(restored, { a: 9 });
    await reaches(orders, (state) => state[0]?.n === 9);
    await reaches(order, (state) => state?.n === 9);
  });
});
