import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";
import { presenceSuite } from "./suite/presence.suite.ts";

describeWithRedis("a fleet of one", () =>
  presenceSuite("in Redis", async () => {
    const { url } = await sharedRedis();
    return {
      store: { kind: "redis", url, keyPrefix: randomPrefix(), registryTimeoutMs: 2000 },
      cleanUp: async () => {},
    };
  }),
);
