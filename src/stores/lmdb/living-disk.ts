import { fstatSync } from "node:fs";
import type { StreamError } from "../../core/errors.ts";
import type { DataLock } from "./data-lock.ts";
import type { Disk } from "./disk.ts";
import { lostFile } from "./folder-watch.ts";
import type { FolderWatch } from "./folder-watch.ts";
import { endLife } from "./life.ts";
import type { Lineage } from "./lineage.ts";
import type { LockFile } from "./lock-file.ts";

/** The database of a folder. */
export interface FolderDisk extends Disk {
  /** Name of the lineage of the data: part of every epoch. Empty for data that never moved. */
  readonly lineage: string;
  /** When that lineage began, in Unix milliseconds; 0 for data that never moved. */
  readonly beganMs: number;
  /** Resolves when a file of the folder is no longer the one that was opened, with a sentence. */
  readonly lost: Promise<StreamError>;
}

/** What an opened folder consists of. */
export interface OpenedFolder {
  readonly folder: string;
  readonly disk: Disk;
  readonly lineage: Lineage;
  /** The locked data file. */
  readonly data: DataLock;
  /** Its path. */
  readonly file: string;
  readonly lockFile: LockFile;
  readonly watch: FolderWatch;
  /** Gives the folder back. */
  readonly release: () => Promise<void>;
}

/** The disk as long as its folder is whole. Closing it ends the life of the data, and gives the folder back. */
export function livingDisk(opened: OpenedFolder): FolderDisk {
  const { folder, disk, lineage, data, file, lockFile, watch, release } = opened;
  /** Whether all that was submitted is known to be durable. */
  let isSettled = true;
  let isLost = false;
  const lost = watch.lost.then((problem) => {
    isLost = true;
    return problem;
  });
  return {
    ...disk,
    lineage: lineage.name,
    beganMs: lineage.beganMs,
    lost,
    async submit(writes) {
      isSettled = false;
      await disk.submit(writes);
      // What is in a file without a name is gone with the process.
      if (fstatSync(data.file.fd).nlink === 0) throw lostFile(file, "removed or replaced");
      isSettled = true;
    },
    async close() {
      watch.stop();
      const last = isSettled && !isLost ? disk.lastTransaction() : undefined;
      try {
        await disk.close();
        await lockFile.close();
        // After a failure nobody knows what is on the disk: the next start looks, as after a crash.
        // So it does when the end cannot be written.
        if (last !== undefined) await endLife(folder, lineage.life, last).catch(() => undefined);
      } finally {
        await data.release();
        await release();
      }
    },
  };
}
