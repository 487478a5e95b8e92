import { expect, it, onTestFinished } from "vitest";
import { type Server, createServer } from "millrace/server";
import { startRedis } from "../support/redis/redis-server.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

const room = { streamName: "log", groupId: "g" };
const MOST = 10;

describeWithRedis("a fleet with a limit of items", () => {
  it("deletes each of the oldest items once, whichever process they were written at", async () => {
    const redis = await startRedis();
    onTestFinished(async () => redis.dispose());
    const keyPrefix = randomPrefix();
    const start = async (maxItems?: number): Promise<Server> => {
      const server = await createServer({
        port: 0,
        store: { kind: "redis", url: redis.url, keyPrefix },
        streams: {
          log: { ...(maxItems !== undefined && { maxItems }), history: { maxChanges: 5000 } },
        },
      });
      onTestFinished(() => server.close());
      return server;
    };
    const servers = [await start(MOST), await start(MOST)];
    const frames = await servers[0]!.service.subscribe(room);
    const events: string[] = [];
    const reading = (async () => {
      for await (const frame of frames)
        if (frame.kind === "change") events.push(`${frame.type} ${frame.itemId}`);
    })();

    const writers = servers.map(async ({ service }, at) => {
      for (let i = 0; i < 100; i++) await service.set({ ...room, itemId: `${at}-${i}`, data: i });
    });
    await Promise.all(writers);
    const ids = async () =>
      (await servers[1]!.service.list({ ...room, pageSize: 1000 })).items.map(
        ({ itemId }) => itemId,
      );
    await expect.poll(ids, { timeout: 5000 }).toHaveLength(MOST);
    await expect.poll(() => events.length, { timeout: 5000 }).toBe(200 + 200 - MOST);
    const created = events.filter((event) => event.startsWith("create"));
    const deleted = events.filter((event) => event.startsWith("delete"));
    // The oldest first, each once, and the newest are left.
    expect(deleted).toEqual(
      created.slice(0, 200 - MOST).map((event) => event.replace("create", "delete")),
    );
    expect(await ids()).toEqual(created.slice(-MOST).map((event) => event.replace("create ", "")));

    // A process that starts with a lower limit enforces it without a write.
    await start(3);
    await expect.poll(ids, { timeout: 10_000 }).toHaveLength(3);
    expect(await ids()).toEqual(created.slice(-3).map((event) => event.replace("create ", "")));
    await frames.return?.();
    await reading;
  });
});
