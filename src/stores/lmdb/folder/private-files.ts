import { constants } from "node:fs";
import { chmod, mkdir, open, readdir, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

/* The data is private to the user that runs the service, whatever the umask. */

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** The names in a data folder; the mode of a folder with other files is left unchanged. */
const OURS =
  /^(?:millrace\.(?:mdb|mdb-lock|sock|[\w-]+\.(?:life|closed|seen))|RESTORED|lost\+found)$/;

/** Opens a file for reading and writing, and creates it when missing. */
export async function openPrivate(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, FILE_MODE);
  try {
    const { mode } = await file.stat();
    if ((mode & 0o777) !== FILE_MODE) await file.chmod(FILE_MODE);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Writes a whole file, durably. Its name is durable after `syncFolder`. */
export async function writePrivate(path: string, text: string): Promise<void> {
  const file = await openPrivate(path);
  try {
    await file.truncate();
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Creates a folder and its parents, each private to its owner. An existing folder is made private
 * when it is empty or contains only data of this service: a shared folder like `/tmp` stays
 * unchanged.
 */
export async function ensurePrivateFolder(folder: string): Promise<void> {
  if (await createFolder(folder)) return;
  const { mode } = await stat(folder);
  if ((mode & 0o777) === FOLDER_MODE) return;
  if (!(await readdir(folder)).every((name) => OURS.test(name))) return;
  // The mode of a folder that belongs to another user cannot be changed.
  await chmod(folder, FOLDER_MODE).catch(() => undefined);
}

/** Makes creations and removals of files in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Creates a folder and its parents. (Node's recursive mkdir never ends where that is impossible, as
 * in /proc.)
 *
 * @returns Whether it was missing.
 */
async function createFolder(folder: string): Promise<boolean> {
  try {
    if ((await stat(folder)).isDirectory()) return false;
    throw Object.assign(new Error(`${folder} is not a folder.`), { code: "ENOTDIR" });
  } catch (error) {
    if (codeOf(error) !== "ENOENT" || dirname(folder) === folder) throw error;
  }
  await createFolder(dirname(folder));
  try {
    await mkdir(folder, FOLDER_MODE);
    await chmod(folder, FOLDER_MODE);
    await syncFolder(dirname(folder));
    return true;
  } catch (error) {
    // Another process may have created it meanwhile.
    if (codeOf(error) !== "EEXIST") throw error;
    return false;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
