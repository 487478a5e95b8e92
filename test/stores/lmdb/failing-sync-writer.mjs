/**
 * Opens a store, writes, breaks the disk, writes on, and tells what its callers saw as JSON.
 * Arguments: folder of the compiled project, folder of the store, file that breaks the disk.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [compiled = "", folder = "", trigger = ""] = process.argv.slice(2);
/** @param {string} path */
const load = (path) => import(pathToFileURL(join(compiled, path)).href);
const { openLmdbStore } = await load("src/stores/lmdb/lmdb-store.js");
const { Value } = await load("src/core/value.js");

const group = { streamName: "stream", groupId: "room" };
const store = await openLmdbStore({ folder });
/** @type {unknown[]} */
const heard = [];
await store.watch(group, (/** @type {{ value: { text: string } }} */ event) =>
  heard.push(event.value.text),
);

/** @param {string} itemId @param {string} text */
const put = async (itemId, text) => {
  try {
    await store.run(group, [{ mutations: [{ kind: "put", itemId, value: Value.of(text) }] }]);
    return "done";
  } catch (error) {
    return error instanceof Error && "reason" in error ? error.reason : String(error);
  }
};

const before = await put("a", "durable");
writeFileSync(trigger, "");
const during = await Promise.all([put("a", "lost"), put("b", "lost")]);
const after = await put("a", "late");
const { item } = await store.get(group, "a");
const { items } = await store.list(group, { maxCount: 10, maxBytes: 1e6 });
await store.close();
console.log(
  JSON.stringify({ before, during, after, read: item?.value.text, listed: items.length, heard }),
);
