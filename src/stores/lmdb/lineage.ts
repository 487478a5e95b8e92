import { randomBytes } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Disk } from "./disk.ts";

const LINEAGE_KEY = Buffer.from("lineage");
/** A file of this name in the folder says that the data was put back from a backup. */
const RESTORED_FILE = "RESTORED";

/**
 * Names the life that the data leads: a new one after it was copied or restored, so that no epoch of
 * it is taken for one that went on elsewhere, with other changes under the same revisions.
 *
 * A copy is known by its file, which is another one (inode); what keeps the file, like a snapshot of a
 * whole disk, has to be told by a file named RESTORED.
 *
 * @returns Empty for data that never moved. Durable before it is returned.
 */
export async function readLineage(disk: Disk, folder: string, file: string): Promise<string> {
  const { meta } = disk.tables;
  const marker = join(folder, RESTORED_FILE);
  const inode = String((await stat(file, { bigint: true })).ino);
  const isMarked = await stat(marker).then(
    () => true,
    () => false,
  );
  const view = disk.view();
  const stored = view.get(meta, LINEAGE_KEY)?.toString();
  view.release();
  const [known, name = ""] = stored?.split(" ") ?? [];
  if (known === inode && !isMarked) return name;
  const next = stored === undefined && !isMarked ? "" : randomBytes(6).toString("base64url");
  await disk.submit([{ table: meta, key: LINEAGE_KEY, value: Buffer.from(`${inode} ${next}`) }]);
  await rm(marker, { force: true });
  return next;
}

/** An epoch as it is called in a life: the name that it was given, and that of the life. */
export function epochIn(lineage: string, epoch: string): string {
  if (epoch === "") return "";
  const [given = ""] = epoch.split("~", 1);
  return lineage === "" ? given : `${given}~${lineage}`;
}
