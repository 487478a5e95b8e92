import { constants } from "node:fs";
import { chmod, mkdir, open, readdir, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

/* The data belongs to the user who runs the service: nobody else can read it, whatever the umask. */

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** What a folder of data holds; a folder with anything else is not ours to close to others. */
const OURS = /^(?:millrace\.(?:mdb|mdb-lock|sock|[\w-]+\.(?:life|closed))|RESTORED|lost\+found)$/;

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
 * Creates a folder and those that lead to it, each for its owner only. One that exists is closed to
 * others when it is empty or holds nothing but data of this service: a folder that is shared with
 * something else, like `/tmp`, stays as it is.
 */
export async function ensurePrivateFolder(folder: string): Promise<void> {
  if (await createFolder(folder)) return;
  const { mode } = await stat(folder);
  if ((mode & 0o777) === FOLDER_MODE) return;
  if (!(await readdir(folder)).every((name) => OURS.test(name))) return;
  // Somebody else's folder that we may write is theirs to close.
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

/** (Node's own way never ends where a folder cannot be created, as in /proc.) @returns Whether it was missing. */
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
    // Somebody else may have been faster.
    if (codeOf(error) !== "EEXIST") throw error;
    return false;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
