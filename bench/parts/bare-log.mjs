/* Baseline: a file that is appended to and flushed, with all writers of a moment sharing a flush. */
import { open as openFile } from "node:fs/promises";
import { join } from "node:path";
import { closedLoop } from "../lib/closed-loop.mjs";
import { valueOf } from "../load/requests.mjs";

/**
 * Opens the part.
 *
 * @param {{ folder: string, keys: number, valueBytes: number }} options
 */
export async function open({ folder, keys, valueBytes }) {
  const file = await openFile(join(folder, "log"), "a");
  const values = Array.from({ length: keys }, (_, i) =>
    Buffer.from(JSON.stringify(valueOf(i, valueBytes))),
  );
  /** @type {{ bytes: Buffer, resolve: (value?: undefined) => void }[]} */
  let waiting = [];
  let isFlushing = false;
  const flush = async () => {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      await file.write(Buffer.concat(batch.map(({ bytes }) => bytes)));
      await file.datasync();
      for (const { resolve } of batch) resolve();
    }
    isFlushing = false;
  };
  return {
    methods: {
      /** @param {{ seconds: number, inFlight: number }} how */
      put: async ({ seconds, inFlight }) =>
        closedLoop(
          seconds,
          inFlight,
          async (i) =>
            new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
              waiting.push({ bytes: values[i % keys] ?? Buffer.alloc(0), resolve });
              if (isFlushing) return;
              isFlushing = true;
              setImmediate(() => void flush().catch(reject));
            }),
        ),
    },
    close: async () => file.close(),
  };
}
