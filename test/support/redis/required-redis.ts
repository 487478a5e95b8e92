import { describe, it } from "vitest";
import { PROJECT } from "../../../scripts/lib/project.mjs";
import { type Redis, ensureRedis } from "../../../scripts/lib/redis.mjs";

let found: Promise<Redis> | undefined;

/** The server that the tests of this process run, or why there is none. It may have to be fetched. */
export async function redisProgram(): Promise<Redis> {
  found ??= ensureRedis(PROJECT);
  return found;
}

/** Describes what needs a Redis server. Where there is none, that is one skipped test that says why. */
export function describeWithRedis(name: string, body: () => void | Promise<void>): void {
  describe(name, async () => {
    const redis = await redisProgram();
    if ("missing" in redis) it(redis.missing, (context) => context.skip(redis.missing));
    else await body();
  });
}
