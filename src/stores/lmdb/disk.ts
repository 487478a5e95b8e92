import { setTimeout as delay } from "node:timers/promises";
import { open } from "lmdb";
import type { Database, RootDatabase, Transaction } from "lmdb";

/** The tables of a store. */
export interface Tables {
  /** Heads, items and changes of all groups. */
  readonly data: Table;
  /** Groups that hold items, by stream and group. */
  readonly groups: Table;
  /** Number of such groups by stream. */
  readonly streams: Table;
  /** Groups that need care, by time. */
  readonly due: Table;
  /** Facts about the store as a whole. */
  readonly meta: Table;
  /** What has been fired and not yet been handled, by its place. */
  readonly outbox: Table;
  /** Triggers that are done with an entry of the outbox which is kept for others. */
  readonly settled: Table;
  /** Facts that others keep here. */
  readonly records: Table;
}

/** An ordered map from bytes to bytes. */
export type Table = Database<Buffer, Buffer>;

/** One write: without a value the key is removed. */
export interface Write {
  readonly table: Table;
  readonly key: Buffer;
  readonly value: Buffer | undefined;
}

/** The state after some commit. It does not change. */
export interface View {
  /** A value. Its bytes are good until the next read of any table, so that nothing has to be copied. */
  get(table: Table, key: Buffer): Buffer | undefined;
  /** The first entries from `start` to before `end`. To be walked without awaiting anything. */
  range(
    table: Table,
    start: Buffer,
    end: Buffer,
    limit?: number,
  ): Iterable<{ key: Buffer; value: Buffer }>;
  /** Keeps it alive for another owner, who releases it. */
  retain(): void;
  /** Lets go. The disk cannot reuse what a living view sees. */
  release(): void;
}

/** What the store needs of the database. */
export interface Disk {
  readonly tables: Tables;
  /** The latest durable state. The caller releases it. */
  view(): View;
  /**
   * Writes all or nothing. Resolves when the writes are durable, and only then are they visible to
   * a new view. Must not be called before the last call resolved.
   */
  submit(writes: readonly Write[]): Promise<void>;
  /** Id of the last durable transaction. Each `submit` makes one, and no id is given twice. */
  lastTransaction(): number;
  close(): Promise<void>;
}

/** As `get`, it takes a transaction, which the driver's types do not tell. */
interface FastTable {
  getBinaryFast(key: Buffer, within: { readonly transaction: Transaction }): Buffer | undefined;
}

/** Opens or creates the database file. Throws what the driver throws. */
export function openDisk(file: string): Disk {
  const root: RootDatabase<Buffer, Buffer> = open({
    path: file,
    noSubdir: true,
    encoding: "binary",
    keyEncoding: "binary",
    // With it the driver would resolve a write before it is on disk.
    overlappingSync: false,
    // With it the driver makes a second promise for each turn, which nobody can listen to: the failure
    // of a commit would end the process.
    eventTurnBatching: false,
    maxDbs: 16,
    maxReaders: 1024,
  });
  const table = (name: string): Table =>
    root.openDB<Buffer, Buffer>(name, { encoding: "binary", keyEncoding: "binary" });
  const tables: Tables = {
    data: table("data"),
    groups: table("groups"),
    streams: table("streams"),
    due: table("due"),
    meta: table("meta"),
    outbox: table("outbox"),
    settled: table("settled"),
    records: table("records"),
  };

  const view = (): View => {
    // Without it the driver may hand out a transaction that began before the last commit.
    (root as unknown as { resetReadTxn(): void }).resetReadTxn();
    const transaction = root.useReadTransaction();
    const within = { transaction };
    let owners = 1;
    return {
      get: (from, key) => (from as FastTable).getBinaryFast(key, within),
      range: (from, start, end, limit) =>
        from.getRange({ start, end, transaction, ...(limit === undefined ? {} : { limit }) }),
      retain() {
        owners += 1;
      },
      release() {
        owners -= 1;
        if (owners === 0) transaction.done();
      },
    };
  };

  return {
    tables,
    view,
    async submit(writes) {
      try {
        await root.batch(() => {
          for (const { table: to, key, value } of writes) {
            if (value === undefined) void to.remove(key);
            else void to.put(key, value);
          }
        });
      } catch (error) {
        throw await reasonOf(error);
      }
    },
    lastTransaction: () => (root.getStats() as { readonly lastTxnId: number }).lastTxnId,
    close: () => root.close(),
  };
}

/**
 * The driver rejects a failed commit with one error, and tells why in a second promise beside it,
 * which would end the process if nobody listened to it.
 */
async function reasonOf(failure: unknown): Promise<unknown> {
  if (!(failure instanceof Error) || !("commitError" in failure)) return failure;
  // The second promise may be late, or never come.
  return Promise.race([rejectionOf(failure.commitError), delay(100, failure, { ref: false })]);
}

async function rejectionOf(promise: unknown): Promise<unknown> {
  try {
    return await promise;
  } catch (reason) {
    return reason;
  }
}
