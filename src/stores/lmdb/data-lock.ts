import type { FileHandle } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { openPrivate } from "./private-files.ts";

/** A data file that nobody else can lock. */
export interface DataLock {
  /** The file, open. */
  readonly file: FileHandle;
  /** Closes the file, and releases the lock. */
  release(): Promise<void>;
}

type Release = () => void;

/**
 * Opens a data file, which is created when missing, and locks it by the operating system. The lock
 * belongs to the file itself, so removing a file beside it does not get around it, nor does another
 * container on the same disk, and it ends with the process.
 *
 * Where the package that does so has no build, as for Alpine Linux, an abstract socket named after the
 * file stands in; it holds between processes that share a network namespace.
 *
 * @returns Undefined when somebody else has the lock.
 */
export async function lockData(path: string): Promise<DataLock | undefined> {
  const file = await openPrivate(path);
  let release: Release | undefined;
  try {
    release = await lock(file);
  } catch (error) {
    await file.close();
    throw error;
  }
  if (release === undefined) {
    await file.close();
    return undefined;
  }
  const releaseLock = release;
  return {
    file,
    async release() {
      releaseLock();
      await file.close();
    },
  };
}

/** @returns Undefined when somebody else has the lock. */
async function lock(file: FileHandle): Promise<Release | undefined> {
  const tryLock = loadLock();
  // It ends with the open file.
  if (tryLock !== undefined) return tryLock(file.fd) ? () => {} : undefined;
  return process.platform === "linux" ? lockByName(file) : () => {};
}

/** Loaded on demand: stores elsewhere have no use for it. @returns Undefined where it has no build. */
function loadLock(): ((fd: number) => boolean) | undefined {
  try {
    const require = createRequire(import.meta.url);
    const { tryLock } = require("fs-native-extensions") as { tryLock: (fd: number) => boolean };
    return tryLock;
  } catch {
    return undefined;
  }
}

/** Takes the name of a file among abstract sockets. @returns Undefined when somebody else has it. */
export async function lockByName(file: FileHandle): Promise<Release | undefined> {
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
