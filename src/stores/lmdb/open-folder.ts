import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { getSystemErrorName } from "node:util";
import { StreamError } from "../../core/errors.ts";
import { isDataFile } from "./data-file.ts";
import { openDisk } from "./disk.ts";
import type { Disk } from "./disk.ts";
import { lockFolder } from "./folder-lock.ts";
import { readLineage } from "./lineage.ts";

const DATA_FILE = "millrace.mdb";
const FORMAT_KEY = Buffer.from("format");
/** Raised with every change of keys or records that older versions would misread. */
const FORMAT = "1";

/** The database of a folder. */
export interface FolderDisk extends Disk {
  /** Which life of the data this is: part of every epoch. */
  readonly lineage: string;
}

/**
 * Opens the database of a folder, exclusively. The folder is created if missing. Closing the
 * database gives the folder back.
 *
 * @throws StreamError STORE_UNAVAILABLE with a sentence that names the folder and what to do.
 */
export async function openFolder(folder: string): Promise<FolderDisk> {
  await translated(folder, () => ensureFolder(folder));
  const lock = await translated(folder, () => lockFolder(folder));
  try {
    const file = join(folder, DATA_FILE);
    const known = await translated(folder, () => isDataFile(file));
    if (!known)
      throw unavailable(
        `The file ${file} is not a database of this service; choose another folder, or restore the file.`,
      );
    const disk = await translated(folder, async () => openDisk(file));
    let lineage: string;
    try {
      await translated(folder, () => checkFormat(disk, folder));
      lineage = await translated(folder, () => readLineage(disk, folder, file));
    } catch (error) {
      await disk.close();
      throw error;
    }
    return {
      ...disk,
      lineage,
      async close() {
        try {
          await disk.close();
        } finally {
          await lock.release();
        }
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Creates a folder and those that lead to it. (Node's own way never ends where one cannot be created, as in /proc.) */
async function ensureFolder(folder: string): Promise<void> {
  try {
    if ((await stat(folder)).isDirectory()) return;
    throw Object.assign(new Error(`${folder} is not a folder.`), { code: "ENOTDIR" });
  } catch (error) {
    if (codeOf(error) !== "ENOENT" || dirname(folder) === folder) throw error;
  }
  await ensureFolder(dirname(folder));
  try {
    await mkdir(folder);
  } catch (error) {
    // Somebody else may have been faster.
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

async function checkFormat(disk: Disk, folder: string): Promise<void> {
  const view = disk.view();
  const format = view.get(disk.tables.meta, FORMAT_KEY)?.toString();
  view.release();
  if (format === FORMAT) return;
  if (format !== undefined) {
    throw unavailable(
      `The folder ${folder} has data of format ${format}, this version reads format ${FORMAT}; ` +
        `use the version that wrote it, or choose another folder.`,
    );
  }
  await disk.submit([{ table: disk.tables.meta, key: FORMAT_KEY, value: Buffer.from(FORMAT) }]);
}

// What can be wrong with a folder, in words that say what to do.
const PROBLEMS: Readonly<Record<string, string>> = {
  EACCES: "may not be written by this user; change its owner or mode, or choose another folder",
  EPERM: "may not be written by this user; change its owner or mode, or choose another folder",
  EROFS: "is on a read-only file system; choose another folder",
  EEXIST: "is a file; choose the path of a folder",
  ENOTDIR: "is not a folder; choose the path of a folder",
  EISDIR: "has a folder where the data file should be; choose another folder",
  ENOENT: "cannot be created; choose another folder",
  ENOSPC: "is on a full disk; free some space, or choose another folder",
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

/** Name of a system error. The driver gives its number. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "number" && error.code > 0
    ? getSystemErrorName(-error.code)
    : String(error.code);
}

function unavailable(message: string): StreamError {
  return new StreamError("STORE_UNAVAILABLE", message);
}
