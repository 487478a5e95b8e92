/* The stores that a scenario measures one after the other. */
import { join } from "node:path";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { ensureRedis } from "../../scripts/lib/redis.mjs";
import { removeFolder, scratchFolder } from "./scratch.mjs";

/** @typedef {import("../run.mjs").Context} Context */

/**
 * Measures on each kind of store: in memory, and unless the run is quick on disk and on Redis. Without
 * a Redis server a note says so.
 *
 * @param {Context} context
 * @param {(context: Context, kind: string, storeOf: (name: string) => object) => Promise<void>} measure
 *   `storeOf` returns the options of a new, empty store with a name.
 */
export async function onEachStore(context, measure) {
  const { quick, start, note } = context;
  const folder = await scratchFolder();
  await measure(context, "in memory", () => ({ kind: "in_memory" }));
  if (!quick) {
    await measure(context, "durable", (name) => ({
      kind: "file_based",
      folder: join(folder, name),
    }));
    const found = await ensureRedis(PROJECT);
    if ("missing" in found) note(`Not measured on Redis. ${found.missing}.`);
    else {
      const redis = await start("redis-server", { program: found.program, folder });
      const { url } = redis;
      await measure(context, "on Redis", (name) => ({ kind: "redis", url, keyPrefix: name }));
      await redis.stop();
    }
  }
  removeFolder(folder);
}
