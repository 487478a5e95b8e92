import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { StreamError } from "../../../core/errors.ts";
import { isDataFile } from "./data-file.ts";
import { openDisk, type Disk } from "../disk.ts";
import { lockData } from "./data-lock.ts";
import { inUse, lockFolder, type FolderLock } from "./folder-lock.ts";
import { checkFormat } from "./format.ts";
import { watchFolder, watched } from "./folder-watch.ts";
import type { DataPaths } from "./life.ts";
import { continueLineage, type Lineage } from "./lineage.ts";
import { livingDisk, type FolderDisk } from "./living-disk.ts";
import { prepareLockFile, type LockFile } from "./lock-file.ts";
import { ensurePrivateFolder } from "./private-files.ts";
import { guardProgress } from "./progress-guard.ts";

const DATA_FILE = "millrace.mdb";

/** Options of opening a folder. */
export interface FolderOptions {
  /**
   * Whether every group begins a new epoch, for a restore that cannot be detected. Default false.
   */
  readonly beginNewEpochs?: boolean | undefined;
  /** Wall clock, Unix milliseconds. Default: that of the machine. */
  readonly clock?: (() => number) | undefined;
}

/**
 * Opens the database of a folder, exclusively. The folder is created if missing. Closing the
 * database releases the folder.
 *
 * @throws StreamError STORE_UNAVAILABLE with a sentence that names the folder and the remedy.
 */
export async function openFolder(folder: string, options: FolderOptions = {}): Promise<FolderDisk> {
  return translated(folder, async () => {
    await ensurePrivateFolder(folder);
    const lock = await lockFolder(folder);
    try {
      return await openData(folder, options, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  });
}

/** Opens the data of a locked folder. */
async function openData(
  folder: string,
  options: FolderOptions,
  lock: FolderLock,
): Promise<FolderDisk> {
  const file = join(folder, DATA_FILE);
  const data = await lockData(file);
  if (data === undefined) throw inUse(folder);
  try {
    if (!(await isDataFile(file)))
      throw unavailable(
        `The file ${file} is not a database of this service; choose another folder, or restore the file.`,
      );
    const lockFile = await prepareLockFile(`${file}-lock`);
    let disk: Disk | undefined;
    try {
      disk = openDisk(file);
      const lineage = await lineageOf(disk, { folder, file }, lockFile, options);
      await lockFile.sync();
      const files = await Promise.all([file, `${file}-lock`, lock.socket].map(watched));
      const progress = await guardProgress({ folder, file, life: lineage.life }, data.file.fd);
      const watch = watchFolder(files, () => progress.look());
      return livingDisk({ folder, disk, lineage, data, file, lockFile, watch, progress, ...lock });
    } catch (error) {
      await disk?.close();
      await lockFile.close();
      throw error;
    }
  } catch (error) {
    await data.release();
    throw error;
  }
}

async function lineageOf(
  disk: Disk,
  place: DataPaths,
  { lastTransaction }: LockFile,
  { beginNewEpochs = false, clock = Date.now }: FolderOptions,
): Promise<Lineage> {
  const progress = { transaction: disk.lastTransaction(), lastKnown: lastTransaction };
  await checkFormat(disk, place.folder, unavailable);
  return continueLineage(disk, place, { progress, isRestored: beginNewEpochs, clock });
}

// Problems of a folder, each with its remedy.
const PROBLEMS: Readonly<Record<string, string>> = {
  EACCES: "may not be written by this user; change its owner or mode, or choose another folder",
  EPERM: "may not be written by this user; change its owner or mode, or choose another folder",
  EROFS: "is on a read-only file system; choose another folder",
  EEXIST: "is a file; choose the path of a folder",
  ENOTDIR: "is not a folder; choose the path of a folder",
  EISDIR: "has a folder where the data file should be; choose another folder",
  ENOENT: "cannot be created; choose another folder",
  ENOSPC: "is on a full disk; free some space, or choose another folder",
  ENOLCK: "is on a file system without locks; choose another folder",
  ENOTSUP: "is on a file system without Unix sockets, which lock it; choose another folder",
  EOPNOTSUPP: "is on a file system without Unix sockets, which lock it; choose another folder",
  ENAMETOOLONG: "has too long a path; choose a shorter one",
};

async function translated<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StreamError) throw error;
    const problem =
      PROBLEMS[codeOf(error)] ?? "cannot be used; see the log, or choose another folder";
    throw new StreamError("STORE_UNAVAILABLE", `The folder ${folder} ${problem}.`, {
      cause: error,
    });
  }
}

/** Name of a system error, for which the driver has only the number. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "number" && error.code > 0
    ? getSystemErrorName(-error.code)
    : String(error.code);
}

function unavailable(message: string): StreamError {
  return new StreamError("STORE_UNAVAILABLE", message);
}
