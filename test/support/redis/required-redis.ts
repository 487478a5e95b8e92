import { describe, it } from "vitest";
import { PROJECT } from "../../../scripts/lib/project.mjs";
import { type Redis, ensureRedis } from "../../../scripts/lib/redis.mjs";

let found: Promise<Redis> | undefined;

/** The server program for the tests of this process, or why it is missing. It may be fetched. */
export async function redisProgram(): Promise<Redis> {
  found ??= ensureRedis(PROJECT);
  return found;
}

/**
 * Describes tests that need a Redis server. Without one, a single skipped test reports the reason.
 */
export function describeWithRedis(name: string, body: () => void | Promise<void>): void {
  describe(name, async () => {
    const redis = await redisProgram();
    if ("missing" in redis) it(redis.missing, (context) => context.skip(redis.missing));
    else await body();
  });
}
