import { expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { type Order, client, reaches } from "../bridge/published-client.ts";
import { openProxy } from "../support/doors/proxy.ts";
import { OLD_COPIES } from "../support/redis/old-copies.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

const group = { streamName: "orders", groupId: "eu" };

describeWithRedis(
  "the published Node client, after data in Redis was lost while it was offline",
  () => {
    it.each([
      ["the data is an older copy", "restore", [{ id: "a", n: -1 }]],
      ["all data is gone", "flush", []],
    ] as const)("has the present state when %s", async (_, loss, left) => {
      const redis = await OLD_COPIES["FLUSHALL and RESTORE of older dumps"]!();
      const store = { kind: "redis", url: redis.url, keyPrefix: randomPrefix() } as const;
      const server = await createServer({ port: 0, store });
      onTestFinished(() => server.close());
      const line = await openProxy(Number(new URL(server.url).port));
      onTestFinished(() => line.close());
      const write = (id: string, n: number) =>
        server.service.set({ ...group, itemId: id, data: { id, n } });
      await write("a", -1);
      await redis.backUp();
      const stream = client(line);
      const orders = stream.subscribeGroup<Order>("orders", "eu");
      const order = stream.subscribeItem<Order>("orders", "eu", "a");
      await reaches(order, (state) => state?.n === -1);
      await write("b", 1);
      await write("a", 2);
      await reaches(order, (state) => state?.n === 2);
      await reaches(orders, (state) => state.length === 2 && state[0]?.n === 2);
      line.cut();
      if (loss === "flush") await redis.command("FLUSHALL");
      else await redis.restore();
      expect(await reaches(orders, (state) => state.length === left.length)).toEqual(left);
      await reaches(order, (state) => (state?.n ?? 0) === (left[0]?.n ?? 0));
      await write("a", 9);
      await reaches(order, (state) => state?.n === 9);
      expect(await reaches(orders, (state) => state[0]?.n === 9)).toHaveLength(1);
    });
  },
);
