import type { FileHandle } from "node:fs/promises";
import { createRequire } from "node:module";
import { lockByName } from "./name-lock.ts";
import { openPrivate } from "./private-files.ts";

/** A data file that nobody else can lock. */
export interface DataLock {
  /** The file, open. */
  readonly file: FileHandle;
  /** Closes the file, and releases the lock. */
  release(): Promise<void>;
}

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
  let releaseLock: (() => void) | undefined;
  try {
    releaseLock = await lock(file);
  } catch (error) {
    await file.close();
    throw error;
  }
  if (releaseLock === undefined) {
    await file.close();
    return undefined;
  }
  const release = async () => {
    releaseLock();
    await file.close();
  };
  return { file, release };
}

/** @returns Undefined when somebody else has the lock. */
async function lock(file: FileHandle): Promise<(() => void) | undefined> {
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
