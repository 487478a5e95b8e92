import { expect, test } from "vitest";
import { LONG } from "../support/long/violations.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { haproxyProgram } from "../support/rolling/haproxy.ts";
import { rollingRestart } from "../support/rolling/rolling-restart.ts";

/*
 * A rolling restart behind a real balancer. The short form restarts one process with a drain delay
 * of 3 s, the long form a whole fleet with its default delay.
 */

const FORM = LONG
  ? ({ restarts: 3, calls: 2500 } as const)
  : ({ restarts: 1, calls: 300, drainDelay: "3s" } as const);

describeWithRedis("a rolling restart of processes behind a balancer", () => {
  test(`fails none of ${FORM.calls} calls, and delays none beyond 2 s`, async (context) => {
    const haproxy = await haproxyProgram();
    if ("missing" in haproxy) return context.skip(haproxy.missing);
    const result = await rollingRestart(FORM);
    console.info(
      `rolling restart: ${result.calls} calls, ${result.failures.length} failed, ${result.missing.length} acknowledged writes missing, longest ${Math.round(result.longestMs)} ms`,
    );
    expect(result.failures).toEqual([]);
    expect(result.missing).toEqual([]);
    expect(result.longestMs).toBeLessThan(2000);
  }, 120_000);
});
