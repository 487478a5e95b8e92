import { randomBytes } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Disk } from "../disk.ts";
import {
  beginLife,
  forgetLives,
  isUnbroken,
  type Life,
  type DataPaths,
  type Progress,
} from "./life.ts";
import { syncFolder } from "./private-files.ts";

const LINEAGE_KEY = Buffer.from("lineage");
/** A file of this name in the folder marks the data as restored from a backup. */
export const RESTORED_FILE = "RESTORED";

/** The life of the data since it was last copied or restored. */
export interface Lineage {
  /** Part of every epoch. Empty for data that was never copied or restored. */
  readonly name: string;
  /** When it began, in Unix milliseconds; 0 for data that was never copied or restored. */
  readonly beganMs: number;
  /** Id of the current life. */
  readonly life: string;
}

/** The record of the lineage in the data. */
interface LineageRecord {
  readonly name: string;
  readonly beganMs: number;
  readonly life: Life;
}

/** How the lineage of opened data is determined. */
export interface LineageOptions {
  readonly progress: Progress;
  /** Whether to begin a new lineage regardless of the files. */
  readonly isRestored: boolean;
  /** Wall clock, Unix milliseconds. */
  readonly clock: () => number;
}

/**
 * Starts a new life of the data. It continues the lineage if the data is provably neither a copy
 * nor an older state; otherwise it begins a new lineage, because the original may have continued
 * with other changes under the same epochs and revisions.
 *
 * @returns The lineage, durable, with the only life of the folder.
 */
export async function continueLineage(
  disk: Disk,
  place: DataPaths,
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
  // From now on an older data file is recognised by its life, whose marker no longer exists.
  await forgetLives(folder, life.id);
  await rm(restored, { force: true });
  await syncFolder(folder);
  return { name, beganMs, life: life.id };
}

/**
 * @returns Undefined for a record of an older version, which recognised copies by inode and proves
 * nothing.
 */
function parse(stored: string): LineageRecord | undefined {
  return stored.startsWith("{") ? (JSON.parse(stored) as LineageRecord) : undefined;
}

/** The name of an epoch in a lineage: its given name and the name of the lineage. */
export function epochIn(lineage: string, epoch: string): string {
  if (epoch === "") return "";
  const [given = ""] = epoch.split("~", 1);
  return lineage === "" ? given : `${given}~${lineage}`;
}
