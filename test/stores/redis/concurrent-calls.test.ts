import { expect, it } from "vitest";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { openStoreAt, randomPrefix } from "../../support/redis/redis-stores.ts";
import { sharedRedis } from "../../support/redis/shared-redis.ts";
import { commit, groupOf, put } from "../suite/fixture.ts";

describeWithRedis("the redis store", () => {
  it("runs a write that is called while the one before it ends", async () => {
    const { url } = await sharedRedis();
    const { store } = await openStoreAt(url, { keyPrefix: randomPrefix(), partitions: 1 });
    const group = groupOf("room");
    // Replies that arrive together continue several callers in the same turn of the event loop.
    const readThenWrite = async (turns: number) => {
      await store.get(group, "a");
      for (let i = 0; i < turns; i++) await Promise.resolve();
      await commit(store, group, put("b", turns));
    };
    let done = 0;
    const rounds = (async () => {
      for (let round = 0; round < 15; round++) {
        for (let turns = 0; turns < 12; turns++) {
          const writing = commit(store, group, put("a", round));
          // The commit is sent in the next turn.
          await new Promise((resolve) => setImmediate(resolve));
          await Promise.all([writing, readThenWrite(turns)]);
          done++;
        }
      }
    })();
    await Promise.race([rounds, new Promise((resolve) => setTimeout(resolve, 15_000))]);
    expect(done).toBe(180);
    await store.close();
  });
});
