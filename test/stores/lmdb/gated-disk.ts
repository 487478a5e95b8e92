import type { Disk, Write } from "../../../src/stores/lmdb/disk.ts";
import { openFolder } from "../../../src/stores/lmdb/folder/open-folder.ts";

/** A disk whose writes a test can hold before or after they reach the real one, or make fail. */
export interface GatedDisk extends Disk {
  /** The sets of writes that were submitted. */
  readonly submitted: (readonly Write[])[];
  /** Holds the next writes. @returns Resolves when they have arrived. */
  hold(where: "before" | "after"): Promise<void>;
  /** Releases the held writes. */
  release(): void;
  /** Makes the next writes fail, or never return. */
  breakDown(how: "fail" | "hang"): void;
}

/** Opens the disk of a folder behind a gate. */
export async function openGatedDisk(folder: string): Promise<GatedDisk> {
  const disk = await openFolder(folder);
  const submitted: (readonly Write[])[] = [];
  let next: "pass" | "before" | "after" | "fail" | "hang" = "pass";
  let release: () => void = () => {};
  let arrived: () => void = () => {};
  const wait = () =>
    new Promise<void>((resolve) => {
      release = resolve;
      arrived();
    });
  return {
    ...disk,
    submitted,
    async submit(writes) {
      submitted.push(writes);
      const now = next;
      next = "pass";
      if (now === "fail") throw new Error("The disk failed.");
      if (now === "hang") await new Promise(() => {});
      if (now === "before") await wait();
      await disk.submit(writes);
      if (now === "after") await wait();
    },
    hold(where) {
      next = where;
      return new Promise((resolve) => {
        arrived = resolve;
      });
    },
    release: () => release(),
    breakDown(how) {
      next = how;
    },
  };
}
