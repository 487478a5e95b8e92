import { expect, it } from "vitest";
import { openForTest, randomPrefix } from "../../support/redis/redis-stores.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { sharedRedis } from "../../support/redis/shared-redis.ts";
import { commit, groupOf } from "../suite/fixture.ts";
import { mortal } from "../suite/lifetimes.ts";

describeWithRedis("items that are bound to connections, in Redis", () => {
  const open = async () => {
    const { url } = await sharedRedis();
    return openForTest(url, { keyPrefix: randomPrefix() });
  };
  const namesOf = (items: readonly { group: { groupId: string }; itemId: string }[]) =>
    items.map(({ group, itemId }) => `${group.groupId} ${itemId}`).toSorted();

  it("are found for many connections at the same time, each with its own and its own limit", async () => {
    const { store, servers } = await open();
    const connections = Array.from({ length: 150 }, (_, i) => `c${i}`);
    for (let g = 0; g < 10; g++)
      await commit(
        store,
        groupOf(`g${g}`),
        ...connections.map((connection) => mortal(connection, { connection })),
      );
    let scripts = 0;
    const run = servers.run.bind(servers);
    servers.run = async (...args) => {
      scripts++;
      return run(...args);
    };
    const { lifetimes } = store;
    const [all, few, some] = await Promise.all([
      Promise.all(connections.map(async (connection) => lifetimes.boundTo(connection, 100))),
      lifetimes.boundTo("c1", 3),
      lifetimes.boundTo("c1", 100, [groupOf("g4")]),
    ]);
    for (const [i, found] of all.entries())
      expect(namesOf(found)).toEqual(Array.from({ length: 10 }, (_, g) => `g${g} c${i}`));
    expect(few).toHaveLength(3);
    expect(namesOf(some)).toContain("g4 c1");
    // Three scripts for 152 connections, in each of 64 partitions.
    expect(scripts).toBe(3 * 64);
  });

  it("are all reported as unavailable when the server is", async () => {
    const { store } = await open();
    await store.close();
    const lookups = ["a", "b"].map(async (connection) => store.lifetimes.boundTo(connection, 1));
    for (const each of await Promise.allSettled(lookups))
      expect(each).toMatchObject({ status: "rejected", reason: { reason: "STORE_UNAVAILABLE" } });
  });
});
