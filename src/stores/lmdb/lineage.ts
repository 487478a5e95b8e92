import { randomBytes } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Disk } from "./disk.ts";
import { beginLife, forgetLives, isUnbroken } from "./life.ts";
import type { Life, Place, Progress } from "./life.ts";
import { syncFolder } from "./private-files.ts";

const LINEAGE_KEY = Buffer.from("lineage");
/** A file of this name in the folder says that the data was put back from a backup. */
const RESTORED_FILE = "RESTORED";

/** What all epochs of the data have in common since it was last copied or restored. */
export interface Lineage {
  /** Part of every epoch. Empty for data that never moved. */
  readonly name: string;
  /** When it began, in Unix milliseconds; 0 for data that never moved. */
  readonly beganMs: number;
  /** The life that goes on with it now. */
  readonly life: string;
}

/** The record of the lineage in the data. */
interface LineageRecord {
  readonly name: string;
  readonly beganMs: number;
  readonly life: Life;
}

/** How the lineage of opened data is told. */
export interface LineageOptions {
  readonly progress: Progress;
  /** Whether to begin a new lineage whatever the files say. */
  readonly isRestored: boolean;
  /** Wall clock, Unix milliseconds. */
  readonly clock: () => number;
}

/**
 * Goes on with the lineage of the data in a new life, or begins a new lineage unless there is proof
 * that the data is neither a copy nor an older state: no epoch of a copy may be taken for one that
 * went on elsewhere, with other changes under the same revisions.
 *
 * @returns Durable, and the only life of the folder.
 */
export async function continueLineage(
  disk: Disk,
  place: Place,
  { progress, isRestored, clock }: LineageOptions,
): Promise<Lineage> {
  const { folder } = place;
  const restored = join(folder, RESTORED_FILE);
  const isMarked = isRestored || (await stat(restored).then(Boolean, () => false));
  const { meta, data } = disk.tables;
  const view = disk.view();
  const stored = view.get(meta, LINEAGE_KEY)?.toString();
  const [first] = view.range(data, Buffer.from([0]), Buffer.from([0xff]), 1);
  view.release();
  const before = stored === undefined ? undefined : parse(stored);
  const isNew = stored === undefined && first === undefined;
  const goesOn =
    !isMarked &&
    (isNew || (before !== undefined && (await isUnbroken(place, before.life, progress))));
  const { name, beganMs } = goesOn
    ? (before ?? { name: "", beganMs: 0 })
    : { name: randomBytes(6).toString("base64url"), beganMs: clock() };
  const life = await beginLife(place);
  const record: LineageRecord = { name, beganMs, life };
  await disk.submit([
    { table: meta, key: LINEAGE_KEY, value: Buffer.from(JSON.stringify(record)) },
  ]);
  // From here on a data file of before is known by its life, whose marker is gone.
  await forgetLives(folder, life.id);
  await rm(restored, { force: true });
  await syncFolder(folder);
  return { name, beganMs, life: life.id };
}

/** @returns Undefined for a record of a version that knew copies by their inode, which proves nothing. */
function parse(stored: string): LineageRecord | undefined {
  return stored.startsWith("{") ? (JSON.parse(stored) as LineageRecord) : undefined;
}

/** An epoch as it is called in a lineage: the name that it was given, and that of the lineage. */
export function epochIn(lineage: string, epoch: string): string {
  if (epoch === "") return "";
  const [given = ""] = epoch.split("~", 1);
  return lineage === "" ? given : `${given}~${lineage}`;
}
