import { randomBytes } from "node:crypto";
import { readFile, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { openPrivate, syncFolder, writePrivate } from "./private-files.ts";

/**
 * One opening of the data, from open to close or crash. It has a record in the data, and a marker,
 * a file beside the data that is written once. The record holds the marker's inode and change time,
 * so the two never agree in a copy: the kernel gives every copied file another change time.
 */
export interface Life {
  /** Random. Part of the names of this life's files. */
  readonly id: string;
  readonly marker: FileFacts;
  /** The data file at the start of this life. */
  readonly data: FileFacts;
}

/** The metadata of a file that differs in a copy. */
interface FileFacts {
  readonly inode: string;
  /**
   * Time of the last change of content, owner, mode or links, in Unix nanoseconds. No program can
   * set it.
   */
  readonly changedNs: string;
  /**
   * Time of creation, in Unix nanoseconds; "0" where it is unknown, or where programs can set it.
   */
  readonly bornNs: string;
}

/** The last transactions of the data. */
export interface Progress {
  /** The last transaction of the data. */
  readonly transaction: number;
  /** The last transaction that is known to have been durable when the last process ended. */
  readonly lastKnown: number | undefined;
}

/** The paths of the data. */
export interface DataPaths {
  readonly folder: string;
  /** Path of the data file. */
  readonly file: string;
}

const FILE_OF_LIFE = /^millrace\.[\w-]+\.(?:life|closed|seen)$/;
/** Each note has the same length, so that one replaces the other. */
const SEEN_DIGITS = 16;
const isLinux = process.platform === "linux";

/** Starts a life: writes its marker, durably. It takes effect once its record is in the data. */
export async function beginLife({ folder, file }: DataPaths): Promise<Life> {
  const id = randomBytes(9).toString("base64url");
  const path = markerOf(folder, id);
  await writePrivate(path, "Do not touch: by this file the service knows its data from a copy.\n");
  await syncFolder(folder);
  const [marker, data] = await Promise.all([path, file].map(async (of) => factsOf(await look(of))));
  if (marker === undefined || data === undefined) throw new Error(`A file of ${folder} vanished.`);
  return { id, marker, data };
}

/**
 * Whether the data is provably the state that the life left, neither a copy nor an older state.
 *
 * After a clean close the data must end with the recorded last transaction. The marker may have
 * been touched since (`chown -R`, hard links), as long as it is the same file.
 *
 * After a crash the data must have at least the last transaction that was known to be durable and the
 * last one that was noted, and only the service may have touched the marker and the data file.
 */
export async function isUnbroken(
  { folder, file }: DataPaths,
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
      // A write sets both times equal; a copying program can only set back the first.
      (!isLinux || (factsOf(stats).bornNs === data.bornNs && stats.mtimeNs === stats.ctimeNs)) &&
      lastKnown !== undefined &&
      transaction >= lastKnown &&
      transaction >= (await readSeen(folder, id))
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

/** Ends a life cleanly, with its last transaction. To be called after the last write. */
export async function endLife(folder: string, id: string, transaction: number): Promise<void> {
  await writePrivate(closingOf(folder, id), `${transaction}\n`);
  await syncFolder(folder);
}

/** A file that notes how far the data of a life is at least. */
export interface SeenFile {
  /** Notes a durable transaction. The note need not be durable: an older one is true, too. */
  note(transaction: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the note of a life. After a crash it exposes data that was restored together with the lock file
 * of the database, which is the other record of how far the data was.
 */
export async function openSeen(folder: string, id: string): Promise<SeenFile> {
  const file = await openPrivate(seenOf(folder, id));
  return {
    async note(transaction) {
      await file.write(`${String(transaction).padStart(SEEN_DIGITS, "0")}\n`, 0);
    },
    close: () => file.close(),
  };
}

/** Removes the files of all lives but one, durably. */
export async function forgetLives(folder: string, except: string): Promise<void> {
  const kept = new Set([markerOf, closingOf, seenOf].map((of) => of(folder, except)));
  const paths = (await readdir(folder))
    .filter((name) => FILE_OF_LIFE.test(name))
    .map((name) => join(folder, name));
  await Promise.all(paths.filter((path) => !kept.has(path)).map((path) => rm(path)));
  await syncFolder(folder);
}

function markerOf(folder: string, id: string): string {
  return join(folder, `millrace.${id}.life`);
}

function closingOf(folder: string, id: string): string {
  return join(folder, `millrace.${id}.closed`);
}

function seenOf(folder: string, id: string): string {
  return join(folder, `millrace.${id}.seen`);
}

/** The last transaction that a life noted; 0 when it noted none. */
async function readSeen(folder: string, id: string): Promise<number> {
  const text = await readFile(seenOf(folder, id), "utf8").catch(() => "");
  return /^\d+\n$/.test(text) ? Number(text) : 0;
}

/**
 * The last transaction of a life that ended cleanly; undefined after a crash, even one during the
 * close.
 */
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
