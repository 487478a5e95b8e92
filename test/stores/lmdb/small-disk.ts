import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const BYTES = 4 * 1024 * 1024;

/** A file system of a few MiB. */
export interface SmallDisk {
  readonly path: string;
  /** Unmounts and removes it. */
  remove(): Promise<void>;
}

/** Kinds of small disks: one in memory, and a real file system in a file. */
export const SMALL_DISKS = ["tmpfs", "ext4"] as const;
export type SmallDiskKind = (typeof SMALL_DISKS)[number];

/** Mounts a small disk. @throws Error with the reason why that is not possible here. */
export async function mountSmallDisk(kind: SmallDiskKind): Promise<SmallDisk> {
  const base = await mkdtemp(join(tmpdir(), "millrace-small-disk-"));
  const path = join(base, "mounted");
  try {
    await mkdir(path);
    if (kind === "tmpfs") {
      await run("mount", ["-t", "tmpfs", "-o", `size=${BYTES}`, "tmpfs", path]);
    } else {
      const image = join(base, "image");
      await run("truncate", ["-s", String(BYTES), image]);
      await run("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
      await run("mount", ["-o", "loop", image, path]);
    }
  } catch (error) {
    await rm(base, { recursive: true, force: true });
    throw error;
  }
  return {
    path,
    async remove() {
      await run("umount", ["-l", path]);
      await rm(base, { recursive: true, force: true });
    },
  };
}

/** Why a small disk cannot be mounted here; undefined when it can. */
export async function smallDiskObstacle(kind: SmallDiskKind): Promise<string | undefined> {
  if (process.platform !== "linux") return "it is made for Linux only";
  try {
    const disk = await mountSmallDisk(kind);
    await disk.remove();
    return undefined;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return `a ${kind} cannot be mounted here (${said.split("\n").filter(Boolean).at(-1) ?? ""})`;
  }
}
