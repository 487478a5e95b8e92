import { readSync } from "node:fs";
import { openPrivate } from "./private-files.ts";

// Two pages of metadata begin a file of the database. Numbers are little-endian on every platform
// that the driver is built for.
const MAGIC = 0xbeefc0de;
const MAGIC_AT = 24;
const PAGE_FLAGS_AT = 18;
const META_PAGE = 8;
const FORMAT_AT = 28;
const FORMAT = 2;
const PAGE_SIZE_AT = 48;
const TRANSACTION_AT = 152;
const MAX_UNWRITTEN = 16_384;

/**
 * Whether the database driver can open a file: it does not exist, is empty, or begins like the
 * driver's files. To be called first, because the driver ends the process when it cannot open a
 * file. Creates a missing file, and makes the file private to its user.
 *
 * @throws The system error when the file cannot be read and written.
 */
export async function isDataFile(path: string): Promise<boolean> {
  const file = await openPrivate(path);
  try {
    const { size } = await file.stat();
    if (size <= MAX_UNWRITTEN && (await file.readFile()).every((byte) => byte === 0)) {
      // A power failure during the very first start leaves such a file; the driver needs it empty.
      await file.truncate();
      return true;
    }
    const first = Buffer.alloc(64);
    const { bytesRead } = await file.read(first, 0, first.length, 0);
    if (bytesRead < first.length || !isMetaPage(first)) return false;
    const pageSize = first.readUInt32LE(PAGE_SIZE_AT);
    const second = Buffer.alloc(64);
    await file.read(second, 0, second.length, pageSize);
    return size >= 2 * pageSize && isMetaPage(second);
  } finally {
    await file.close();
  }
}

function isMetaPage(page: Buffer): boolean {
  return (
    page.readUInt16LE(PAGE_FLAGS_AT) === META_PAGE &&
    page.readUInt32LE(MAGIC_AT) === MAGIC &&
    page.readUInt16LE(FORMAT_AT) === FORMAT
  );
}

/** The transactions that the two pages of metadata of a data file were written by. */
export interface MetaTransactions {
  readonly latest: number;
  readonly before: number;
}

/**
 * Makes a reader of the transactions that an open data file ends with. The driver writes the two pages of
 * metadata in turn, so after a transaction one of them has it, and the other one the transaction before.
 *
 * @param fd The file; it has data.
 */
export function metaReader(fd: number): () => MetaTransactions {
  const first = Buffer.alloc(PAGE_SIZE_AT + 4);
  readSync(fd, first, 0, first.length, 0);
  const secondAt = first.readUInt32LE(PAGE_SIZE_AT) + TRANSACTION_AT;
  const bytes = Buffer.alloc(secondAt + 8);
  return () => {
    readSync(fd, bytes, 0, bytes.length, 0);
    const one = Number(bytes.readBigUInt64LE(TRANSACTION_AT));
    const other = Number(bytes.readBigUInt64LE(secondAt));
    return { latest: Math.max(one, other), before: Math.min(one, other) };
  };
}
