import { randomBytes } from "node:crypto";
import { readFile, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder, writePrivate } from "./private-files.ts";

/**
 * One opening of the data, from open to close or crash. Two things name it, and no copy carries both
 * in agreement: a record in the data, and a marker, a file beside it that is written once. The record
 * holds the inode and the time of change of the marker; the kernel gives every copy another time.
 */
export interface Life {
  /** Random. Part of the names of the files of this life. */
  readonly id: string;
  readonly marker: FileFacts;
  /** The data file as it was when this life began. */
  readonly data: FileFacts;
}

/** What the file system knows of a file, as far as a copy has something else. */
interface FileFacts {
  readonly inode: string;
  /** Time of the last change of content, owner, mode or links, in Unix nanoseconds. No program can set it. */
  readonly changedNs: string;
  /** Time of creation, in Unix nanoseconds; "0" where it is unknown, or where programs can set it. */
  readonly bornNs: string;
}

/** How far the data has come. */
export interface Progress {
  /** The last transaction of the data. */
  readonly transaction: number;
  /** The last transaction that is known to have been durable when the last process ended. */
  readonly lastKnown: number | undefined;
}

/** Where the data is. */
export interface Place {
  readonly folder: string;
  /** Path of the data file. */
  readonly file: string;
}

const FILE_OF_LIFE = /^millrace\.[\w-]+\.(?:life|closed)$/;
const isLinux = process.platform === "linux";

/** Begins a life: writes its marker, durably. It is in force once its record is in the data. */
export async function beginLife({ folder, file }: Place): Promise<Life> {
  const id = randomBytes(9).toString("base64url");
  const path = markerOf(folder, id);
  await writePrivate(path, "Do not touch: by this file the service knows its data from a copy.\n");
  await syncFolder(folder);
  const [marker, data] = await Promise.all([path, file].map(async (of) => factsOf(await look(of))));
  if (marker === undefined || data === undefined) throw new Error(`A file of ${folder} vanished.`);
  return { id, marker, data };
}

/**
 * Whether the data is what the life left behind, neither a copy nor an older state. Without proof it
 * is not.
 *
 * After a clean close the data must end with the transaction that was its last. The marker may have
 * been touched since (`chown -R`, hard links), as long as it is the same file.
 *
 * After a crash the data must have at least the last transaction that was known to be durable, and
 * neither the marker nor the data file may have been touched by anybody but the service.
 */
export async function isUnbroken(
  { folder, file }: Place,
  { id, marker, data }: Life,
  { transaction, lastKnown }: Progress,
): Promise<boolean> {
  try {
    const found = factsOf(await look(markerOf(folder, id)));
    if (found.inode !== marker.inode) return false;
    const isUntouched = found.changedNs === marker.changedNs;
    const closedAt = await readClosing(folder, id);
    if (closedAt !== undefined)
      return (isUntouched || isBornWith(found, marker)) && closedAt === transaction;
    const stats = await look(file);
    return (
      isUntouched &&
      factsOf(stats).inode === data.inode &&
      // A write sets both times to the same moment; programs that copy set back the one that they can.
      (!isLinux || (factsOf(stats).bornNs === data.bornNs && stats.mtimeNs === stats.ctimeNs)) &&
      lastKnown !== undefined &&
      transaction >= lastKnown
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

/** Ends a life cleanly, with its last transaction. To be called once nobody writes the data any more. */
export async function endLife(folder: string, id: string, transaction: number): Promise<void> {
  await writePrivate(closingOf(folder, id), `${transaction}\n`);
  await syncFolder(folder);
}

/** Removes the files of all lives but one, durably. */
export async function forgetLives(folder: string, except: string): Promise<void> {
  const kept = new Set([markerOf(folder, except), closingOf(folder, except)]);
  const paths = (await readdir(folder))
    .filter((name) => FILE_OF_LIFE.test(name))
    .map((name) => join(folder, name));
  await Promise.all(paths.filter((path) => !kept.has(path)).map((path) => rm(path)));
  await syncFolder(folder);
}

/** The file that marks a life. */
function markerOf(folder: string, id: string): string {
  return join(folder, `millrace.${id}.life`);
}

function closingOf(folder: string, id: string): string {
  return join(folder, `millrace.${id}.closed`);
}

/** The last transaction of a life that ended cleanly; undefined for one that crashed, while it closed too. */
async function readClosing(folder: string, id: string): Promise<number | undefined> {
  const text = await readFile(closingOf(folder, id), "utf8").catch(() => "");
  return /^\d+\n$/.test(text) ? Number(text) : undefined;
}

function isBornWith(one: FileFacts, other: FileFacts): boolean {
  return one.bornNs !== "0" && one.bornNs === other.bornNs;
}

function look(path: string) {
  return stat(path, { bigint: true });
}

function factsOf({ ino, ctimeNs, birthtimeNs }: Awaited<ReturnType<typeof look>>): FileFacts {
  const bornNs = isLinux ? birthtimeNs : 0n;
  return { inode: String(ino), changedNs: String(ctimeNs), bornNs: String(bornNs) };
}
