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
  /** Groups to sweep, by time. */
  readonly due: Table;
  /** Idempotency keys of all groups. */
  readonly keys: Table;
  /** Items with a lifetime, by time and by connection. */
  readonly lifetimes: Table;
  /** Facts about the store as a whole. */
  readonly meta: Table;
  /** Outbox entries that are not settled, by sequence number. */
  readonly outbox: Table;
  /** Triggers that are done with an outbox entry which is kept for other triggers. */
  readonly settled: Table;
  /** Records of other modules. */
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
  /** A value. Its bytes are valid only until the next read of any table, which saves a copy. */
  get(table: Table, key: Buffer): Buffer | undefined;
  /** The first entries from `start` to before `end`. To be iterated synchronously. */
  range(
    table: Table,
    start: Buffer,
    end: Buffer,
    limit?: number,
  ): Iterable<{ key: Buffer; value: Buffer }>;
  /** The entries from `start` to before `end`, the last one first. To be iterated synchronously. */
  reversed(table: Table, start: Buffer, end: Buffer): Iterable<{ key: Buffer; value: Buffer }>;
  /** The key that `count` entries with keys before `end` begin with. At least as many must exist. */
  keyBefore(table: Table, end: Buffer, count: number): Buffer | undefined;
  /** Keeps it alive for another owner, which has to release it. */
  retain(): void;
  /** Releases it. The disk cannot reuse the pages of a living view. */
  release(): void;
}

/** The database as the store uses it. */
export interface Disk {
  readonly tables: Tables;
  /** The latest durable state. The caller releases it. */
  view(): View;
  /**
   * Writes all or nothing. Resolves when the writes are durable; only then does a new view see
   * them. Must not be called while another call is pending.
   */
  submit(writes: readonly Write[]): Promise<void>;
  /** Id of the last durable transaction. Each `submit` makes one, with a new id. */
  lastTransaction(): number;
  close(): Promise<void>;
}

/** It accepts a transaction like `get` does, which the driver's types omit. */
interface FastTable {
  getBinaryFast(key: Buffer, within: { readonly transaction: Transaction }): Buffer | undefined;
}

/** Opens or creates the database file. @throws The driver's errors. */
export function openDisk(file: string): Disk {
  const root: RootDatabase<Buffer, Buffer> = open({
    path: file,
    noSubdir: true,
    encoding: "binary",
    keyEncoding: "binary",
    // If true, the driver would resolve a write before it is on disk.
    overlappingSync: false,
    // If true, the driver would make a second promise per turn, whose rejection cannot be handled:
    // a failed commit would end the process.
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
    keys: table("keys"),
    lifetimes: table("lifetimes"),
    meta: table("meta"),
    outbox: table("outbox"),
    settled: table("settled"),
    records: table("records"),
  };

  const view = (): View => {
    // Otherwise the driver may return a transaction that began before the last commit.
    (root as unknown as { resetReadTxn(): void }).resetReadTxn();
    const transaction = root.useReadTransaction();
    const within = { transaction };
    let owners = 1;
    return {
      get(from, key) {
        const bytes = (from as FastTable).getBinaryFast(key, within);
        // The driver returns a larger buffer with a `length` of its own, which Node ignores since
        // version 24.
        return bytes?.subarray(0, bytes.length);
      },
      range: (from, start, end, limit) =>
        from.getRange({ start, end, transaction, ...(limit === undefined ? {} : { limit }) }),
      reversed: (from, start, end) =>
        from.getRange({
          start: end,
          exclusiveStart: true,
          end: start,
          inclusiveEnd: true,
          reverse: true,
          transaction,
        }),
      keyBefore(from, end, count) {
        const options = { start: end, exclusiveStart: true, reverse: true, transaction };
        for (const key of from.getKeys({ ...options, offset: count - 1, limit: 1 })) return key;
        return undefined;
      },
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
 * The driver rejects a failed commit with an error whose cause is a second promise. Left unhandled,
 * that one would end the process.
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
