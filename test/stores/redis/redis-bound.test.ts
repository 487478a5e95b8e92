import { expect, it } from "vitest";
import { openForTest } from "../../support/redis/redis-stores.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { sharedRedis } from "../../support/redis/shared-redis.ts";
import { commit, groupOf } from "../suite/fixture.ts";
import { mortal } from "../suite/lifetimes.ts";

/** Partitions of the store. */
const PARTITIONS = 64;

describeWithRedis("items in Redis that are bound to connections", () => {
  it("are read with few commands when many connections end at once, as after the death of a process", async () => {
    const { url } = await sharedRedis();
    const { store, servers } = await openForTest(url);
    const connections = Array.from({ length: 500 }, (_, i) => `c${i}`);
    await Promise.all(
      connections.map(async (connection, i) =>
        commit(store, groupOf(`g${i % 40}`), mortal(connection, { connection })),
      ),
    );
    const [run, send] = [servers.run.bind(servers), servers.send.bind(servers)];
    let commands = 0;
    servers.run = async (...args) => {
      commands++;
      return run(...args);
    };
    servers.send = async (...args) => {
      commands++;
      return send(...args);
    };
    const found = await Promise.all(
      connections.map(async (connection) => store.lifetimes.boundTo(connection, 10)),
    );
    expect(found.map((items) => items.map(({ itemId }) => itemId))).toEqual(
      connections.map((connection) => [connection]),
    );
    expect(commands).toBeLessThanOrEqual(6 * PARTITIONS);
  });

  it("are read again for a connection whose read has failed", async () => {
    const { url } = await sharedRedis();
    const { store, servers } = await openForTest(url);
    await commit(store, groupOf("g"), mortal("a", { connection: "c" }));
    const run = servers.run.bind(servers);
    servers.run = async () => {
      throw new Error("Redis is away.");
    };
    await expect(store.lifetimes.boundTo("c", 10)).rejects.toThrow("Redis is away.");
    servers.run = run;
    expect(await store.lifetimes.boundTo("c", 10)).toMatchObject([{ itemId: "a" }]);
  });
});
