import { openPrivate } from "./private-files.ts";

const MAGIC = 0xbeefc0de;
const LAST_TRANSACTION_AT = 8;
// Room for more readers than the database's limit; the driver accepts a longer file.
const BYTES = 80 * 1024;

/** The file beside the data in which the database driver keeps its table of readers. */
export interface LockFile {
  /**
   * The last transaction that was durable when the last process ended or crashed; undefined when
   * the file does not contain it. After a power failure it may be an earlier one, never a later
   * one.
   */
  readonly lastTransaction: number | undefined;
  /** Flushes the file. */
  sync(): Promise<void>;
  /**
   * Closes the file. To be called after closing the database, because this drops the driver's lock.
   */
  close(): Promise<void>;
}

/**
 * Prepares the lock file for the driver, which maps it into memory and notes the id of each durable
 * transaction in it. It is read before the driver opens the file, so commits pay nothing for it.
 *
 * Every page of the file is written first: on a full disk, a page without a block would end the
 * process when a reader needs it.
 *
 * To be called only with the folder locked.
 */
export async function prepareLockFile(path: string): Promise<LockFile> {
  const file = await openPrivate(path);
  try {
    const before = await file.readFile();
    const bytes = Buffer.alloc(Math.max(before.length, BYTES));
    before.copy(bytes);
    await file.write(bytes, 0, bytes.length, 0);
    return {
      lastTransaction: transactionOf(before),
      sync: () => file.sync(),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function transactionOf(bytes: Buffer): number | undefined {
  if (bytes.length < LAST_TRANSACTION_AT + 8 || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  return Number(bytes.readBigUInt64LE(LAST_TRANSACTION_AT));
}
