import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { endBoundItems } from "../../src/lifetimes/bound-items.ts";
import { startConnectionSweep } from "../../src/lifetimes/connection-sweep.ts";
import { redisFleets } from "../coordinators/redis/redis-fleet.ts";
import { newSession, own } from "../coordinators/suite/sessions.ts";
import { type RedisProcess, startRedis } from "../support/redis/redis-server.ts";
import { openForTest, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { commit, contents, groupOf } from "../stores/suite/fixture.ts";
import { connectionsIn, mortal } from "../stores/suite/lifetimes.ts";

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => redis?.dispose());

describeWithRedis("the sweep of a fleet over Redis", () => {
  const fleets = redisFleets(() => redis);

  it("deletes what a killed process has left, of the groups of each process, and nothing of open sessions", async () => {
    const fleet = fleets({});
    const [a, b] = [await fleet.join(), await fleet.join()];
    for (const each of [a, b]) own(each.sessions);
    const keyPrefix = randomPrefix();
    const groups = Array.from({ length: 40 }, (_, i) => groupOf(`g${i}`));
    const [open, ended] = [newSession(), newSession()];
    for (const each of [open, ended]) {
      await a.sessions.begin(each);
      await a.sessions.bind(each);
    }
    const sweepOf = async (sessions: typeof a.sessions, owned: number) => {
      const { store } = await openForTest(redis.url, {
        keyPrefix,
        owns: (partition) => partition % 2 === owned,
      });
      const sweep = startConnectionSweep({
        store,
        agreed: sessions,
        intervalMs: Infinity,
        endItems: async (connection) =>
          endBoundItems(connection, { store, firing: () => undefined }),
        onProblem: (error) => expect.unreachable(String(error)),
      });
      onTestFinished(() => sweep.close());
      return { store, sweep };
    };
    const one = await sweepOf(a.sessions, 0);
    for (const group of groups)
      await commit(
        one.store,
        group,
        mortal("stays", { connection: open.connectionId }),
        mortal("left", { connection: ended.connectionId }),
        mortal("unknown", { connection: "unknown" }),
      );
    const two = await sweepOf(b.sessions, 1);
    // Its process is killed before it has deleted anything.
    expect(await a.sessions.end(ended.id)).toBe(true);
    for (const { store } of [one, two])
      expect(await connectionsIn(store, 10)).toEqual(
        [open.connectionId, ended.connectionId, "unknown"].toSorted(),
      );
    for (let n = 0; n < 4; n++) for (const { sweep } of [one, two]) await sweep.sweep();
    for (const group of groups)
      expect((await contents(one.store, group)).map(([id]) => id)).toEqual(["stays"]);
  });
});
