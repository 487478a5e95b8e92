import { expect, it } from "vitest";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { haproxyProgram } from "../support/rolling/haproxy.ts";
import { rollingRestart } from "../support/rolling/rolling-restart.ts";

describeWithRedis("a process of a fleet that is restarted behind a balancer", () => {
  it("fails no call: they are served until the balancer sends nobody there any more", async (context) => {
    const haproxy = await haproxyProgram();
    if ("missing" in haproxy) return context.skip(haproxy.missing);
    const result = await rollingRestart({ restarts: 1, calls: 300, drainDelay: "3s" });
    expect(result.failures).toEqual([]);
    expect(result.missing).toEqual([]);
    expect(result.longestMs).toBeLessThan(2000);
  }, 30_000);
});
