import type { FileHandle } from "node:fs/promises";
import { createRequire } from "node:module";
import { lockByName } from "./name-lock.ts";
import { openPrivate } from "./private-files.ts";

/** A locked data file. */
export interface DataLock {
  /** The file, open. */
  readonly file: FileHandle;
  /** Closes the file, and releases the lock. */
  release(): Promise<void>;
}

/**
 * Opens a data file, which is created when missing, with a lock of the operating system. The lock
 * belongs to the file itself: removing another file does not bypass it, nor does another container
 * on the same disk. It ends with the process.
 *
 * Where the package for it has no build, as for Alpine Linux, an abstract socket named after the
 * file replaces it; that one only works between processes that share a network namespace.
 *
 * @returns Undefined when another process has the lock.
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

/** @returns Undefined when another process has the lock. */
async function lock(file: FileHandle): Promise<(() => void) | undefined> {
  const tryLock = loadLock();
  // Closing the file releases the lock.
  if (tryLock !== undefined) return tryLock(file.fd) ? () => {} : undefined;
  return process.platform === "linux" ? lockByName(file) : () => {};
}

/**
 * Loads the package on demand: other stores do not need it. @returns Undefined where it has no
 * build.
 */
function loadLock(): ((fd: number) => boolean) | undefined {
  try {
    const require = createRequire(import.meta.url);
    const { tryLock } = require("fs-native-extensions") as { tryLock: (fd: number) => boolean };
    return tryLock;
  } catch {
    return undefined;
  }
}
