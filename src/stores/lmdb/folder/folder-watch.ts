import { lstat } from "node:fs/promises";
import { basename } from "node:path";
import { StreamError } from "../../../core/errors.ts";

const INTERVAL_MS = 250;

/** A file that must not be moved, replaced or removed. */
export interface WatchedFile {
  readonly path: string;
  /** Device and inode. */
  readonly identity: string;
}

/** Watches the files of a folder until it is stopped. */
export interface FolderWatch {
  /** Resolves with the problem when a file was removed or replaced. */
  readonly lost: Promise<StreamError>;
  stop(): void;
}

/** A file with its current identity. @throws System errors. */
export async function watched(path: string): Promise<WatchedFile> {
  const { dev, ino } = await lstat(path, { bigint: true });
  return { path, identity: `${dev}:${ino}` };
}

/**
 * Checks several times a second that the files are still the same. (File system events would come
 * with every write to the data, and slow down the writers.)
 *
 * @param look A further check, made each time.
 */
export function watchFolder(
  files: readonly WatchedFile[],
  look: () => Promise<StreamError | undefined>,
): FolderWatch {
  let report: (problem: StreamError) => void;
  const lost = new Promise<StreamError>((resolve) => (report = resolve));
  let isLooking = false;
  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    void Promise.all([...files.map(problemOf), look().catch(() => undefined)]).then((problems) => {
      isLooking = false;
      const problem = problems.find((found) => found !== undefined);
      if (problem === undefined) return;
      clearInterval(timer);
      report(problem);
    });
  }, INTERVAL_MS);
  timer.unref();
  return { lost, stop: () => clearInterval(timer) };
}

/**
 * The error with which a store refuses writes once one of its files was removed or replaced.
 * Callers get the file's name, only the log gets its path.
 */
export function lostFile(path: string, what: string): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    `The file ${basename(path)} of the data was ${what} while the service was running; the store takes no more writes until the service is restarted.`,
    { cause: new Error(`${path} was ${what}.`) },
  );
}

async function problemOf({ path, identity }: WatchedFile): Promise<StreamError | undefined> {
  try {
    if ((await watched(path)).identity === identity) return undefined;
    return lostFile(path, "replaced");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // Other errors prove nothing about the file.
    return code === "ENOENT" || code === "ENOTDIR" ? lostFile(path, "removed") : undefined;
  }
}
