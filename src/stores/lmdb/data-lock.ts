import type { FileHandle } from "node:fs/promises";
import { StreamError } from "../../core/errors.ts";
import { openPrivate } from "./private-files.ts";

/**
 * Opens a data file, which is created when missing, and locks it by the operating system. The lock
 * belongs to the file itself, so neither removing a file beside it nor another container on the same
 * disk gets around it, and it ends with the handle or the process.
 *
 * @returns Undefined when somebody else has the lock.
 */
export async function lockData(path: string): Promise<FileHandle | undefined> {
  const tryLock = await loadLock();
  const file = await openPrivate(path);
  try {
    if (tryLock(file.fd)) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

/** Loaded on demand, so that services that keep their data elsewhere run where it has no build. */
async function loadLock(): Promise<(fd: number) => boolean> {
  try {
    const { default: extensions } = await import("fs-native-extensions");
    return extensions.tryLock;
  } catch (cause) {
    throw new StreamError(
      "STORE_UNAVAILABLE",
      `Data on disk cannot be locked on this platform (${process.platform} ${process.arch}); keep it in Redis, or use another platform.`,
      { cause },
    );
  }
}
