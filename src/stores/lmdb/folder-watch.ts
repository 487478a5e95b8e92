import { lstat } from "node:fs/promises";
import { basename } from "node:path";
import { StreamError } from "../../core/errors.ts";

const INTERVAL_MS = 250;

/** A file that has to stay in its place. */
export interface WatchedFile {
  readonly path: string;
  /** Device and inode. */
  readonly identity: string;
}

/** Looks after the files of a folder until it is stopped. */
export interface FolderWatch {
  /** Resolves with what is wrong as soon as something is. */
  readonly lost: Promise<StreamError>;
  stop(): void;
}

/** What identifies a file as long as it exists. @throws What the operating system says. */
export async function watched(path: string): Promise<WatchedFile> {
  const { dev, ino } = await lstat(path, { bigint: true });
  return { path, identity: `${dev}:${ino}` };
}

/**
 * Looks several times a second whether files are still the ones that they were. (Events of the
 * operating system would come with every write to the data, and cost the writers.)
 */
export function watchFolder(files: readonly WatchedFile[]): FolderWatch {
  let tell: (problem: StreamError) => void;
  const lost = new Promise<StreamError>((resolve) => (tell = resolve));
  let isLooking = false;
  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    void Promise.all(files.map(problemOf)).then((problems) => {
      isLooking = false;
      const problem = problems.find((found) => found !== undefined);
      if (problem === undefined) return;
      clearInterval(timer);
      tell(problem);
    });
  }, INTERVAL_MS);
  timer.unref();
  return { lost, stop: () => clearInterval(timer) };
}

/**
 * Why a store takes no more writes once one of its files is not in its place. Callers learn the name of
 * the file, the log learns where it was.
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
    // Anything else says nothing about the file.
    return code === "ENOENT" || code === "ENOTDIR" ? lostFile(path, "removed") : undefined;
  }
}
