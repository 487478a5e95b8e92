import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { StreamError } from "../../../core/errors.ts";
import { metaReader } from "./data-file.ts";
import { lostFile } from "./folder-watch.ts";
import { openSeen } from "./life.ts";
import { RESTORED_FILE } from "./lineage.ts";

/** Notices an older copy that is written over the data file while the database has it open. */
export interface ProgressGuard {
  /** To be called before a transaction begins. @throws StreamError STORE_UNAVAILABLE for an older copy. */
  beforeTransaction(): void;
  /** To be called once a transaction is durable. @throws StreamError STORE_UNAVAILABLE for an older copy. */
  afterTransaction(): void;
  /**
   * To be called from time to time. Notes how far the data is, for the next start.
   *
   * @returns What is wrong with the data; undefined: nothing.
   */
  look(): Promise<StreamError | undefined>;
  /** Releases its file. */
  close(): Promise<void>;
}

/**
 * Guards data that only goes on: each transaction must find the one before in the file. The database keeps
 * the number of the latest transaction in memory and would go on from an older copy, with revisions that
 * subscribers have seen with other values.
 *
 * @param fd The open data file.
 */
export async function guardProgress(
  { folder, file, life }: { readonly folder: string; readonly file: string; readonly life: string },
  fd: number,
): Promise<ProgressGuard> {
  const read = metaReader(fd);
  const seen = await openSeen(folder, life);
  let known = read().latest;
  let noted = 0;
  const overwritten = () => {
    // The next start must not take the data for what this one left behind.
    writeFileSync(join(folder, RESTORED_FILE), "", { mode: 0o600 });
    return lostFile(file, "overwritten with an older copy");
  };
  return {
    beforeTransaction() {
      if (read().latest !== known) throw overwritten();
    },
    afterTransaction() {
      const { latest, before } = read();
      // A transaction that changes nothing writes nothing.
      if (latest === known) return;
      if (before < known) throw overwritten();
      known = latest;
    },
    async look() {
      if (read().latest < known) return overwritten();
      if (known === noted) return undefined;
      noted = known;
      await seen.note(known);
      return undefined;
    },
    close: () => seen.close(),
  };
}
