import { expect, test } from "vitest";
import { LONG } from "../support/long/judge.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { haproxyProgram } from "../support/rolling/haproxy.ts";
import { rollingRestart } from "../support/rolling/rolling-restart.ts";

/*
 * A rolling restart of a whole fleet with its default drain delay. The short form is
 * test/redis/rolling-restart.test.ts.
 */

describeWithRedis("a rolling restart of three processes behind a balancer", () => {
  test.runIf(LONG)(
    "fails none of 2,500 calls, and no writer waits longer than 2 s",
    async (context) => {
      const haproxy = await haproxyProgram();
      if ("missing" in haproxy) return context.skip(haproxy.missing);
      const result = await rollingRestart({ restarts: 3, calls: 2500 });
      console.info(
        `rolling restart: ${result.calls} calls, ${result.failures.length} failed, ${result.missing.length} acknowledged writes missing, longest ${Math.round(result.longestMs)} ms`,
      );
      expect(result.failures).toEqual([]);
      expect(result.missing).toEqual([]);
      expect(result.longestMs).toBeLessThan(2000);
    },
    120_000,
  );
});
