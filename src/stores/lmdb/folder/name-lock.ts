import type { FileHandle } from "node:fs/promises";
import { createServer } from "node:net";

/**
 * Locks a file by an abstract socket with its identity as name, on Linux. The lock ends with the
 * process.
 *
 * @returns Releases the lock; undefined when another process has it.
 */
export async function lockByName(file: FileHandle): Promise<(() => void) | undefined> {
  const { dev, ino } = await file.stat({ bigint: true });
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen({ path: `\0millrace-data:${dev}:${ino}`, exclusive: true }, () => {
      server.unref();
      resolve(() => void server.close());
    });
  });
}
