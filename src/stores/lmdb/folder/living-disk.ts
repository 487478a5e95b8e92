import { fstatSync } from "node:fs";
import type { StreamError } from "../../../core/errors.ts";
import type { DataLock } from "./data-lock.ts";
import type { Disk } from "../disk.ts";
import { lostFile, type FolderWatch } from "./folder-watch.ts";
import { endLife } from "./life.ts";
import type { Lineage } from "./lineage.ts";
import type { LockFile } from "./lock-file.ts";
import type { ProgressGuard } from "./progress-guard.ts";

/** The database of a folder. */
export interface FolderDisk extends Disk {
  /**
   * Name of the data's lineage: part of every epoch. Empty for data that was never copied or
   * restored.
   */
  readonly lineage: string;
  /**
   * When that lineage began, in Unix milliseconds; 0 for data that was never copied or restored.
   */
  readonly beganMs: number;
  /** Resolves with an error when a file of the folder was removed or replaced. */
  readonly lost: Promise<StreamError>;
}

/** The parts of an opened folder. */
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
  readonly progress: ProgressGuard;
  /** Releases the lock of the folder. */
  readonly release: () => Promise<void>;
}

/** The disk of an opened folder. Closing it ends the life of the data, and releases the folder. */
export function livingDisk(opened: OpenedFolder): FolderDisk {
  const { folder, disk, lineage, data, file, lockFile, watch, progress, release } = opened;
  /** Whether every submitted write is known to be durable. */
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
      progress.beforeTransaction();
      await disk.submit(writes);
      // A file without a name disappears with the process.
      if (fstatSync(data.file.fd).nlink === 0) throw lostFile(file, "removed or replaced");
      progress.afterTransaction();
      isSettled = true;
    },
    async close() {
      watch.stop();
      const last = isSettled && !isLost ? disk.lastTransaction() : undefined;
      try {
        await disk.close();
        await lockFile.close();
        await progress.close();
        // After a failure, or when the end cannot be written, the state of the disk is unknown: the
        // next start checks it as after a crash.
        if (last !== undefined) await endLife(folder, lineage.life, last).catch(() => undefined);
      } finally {
        await data.release();
        await release();
      }
    },
  };
}
