/* Baseline: puts into lmdb by itself, each one answered when it is on disk. */
import { open as openLmdb } from "lmdb";
import { valueOf } from "../load/requests.mjs";
import { closedLoop } from "../lib/closed-loop.mjs";

/**
 * Opens the part.
 *
 * @param {{ folder: string, keys: number, valueBytes: number }} options
 */
export function open({ folder, keys, valueBytes }) {
  const db = openLmdb({ path: folder, encoding: "string" });
  const values = Array.from({ length: keys }, (_, i) => JSON.stringify(valueOf(i, valueBytes)));
  return {
    methods: {
      /** @param {{ seconds: number, inFlight: number }} how */
      put: async ({ seconds, inFlight }) =>
        closedLoop(seconds, inFlight, async (i) => {
          await db.put(`key${i % keys}`, values[i % keys] ?? "");
          // Without it, a write is only in the page cache.
          await db.flushed;
        }),
    },
    close: async () => db.close(),
  };
}
