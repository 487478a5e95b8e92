import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";

/** Makes folders for the tests of a file, and removes them after each. */
export function tempFolders(): () => Promise<string> {
  let folders: string[] = [];
  afterEach(async () => {
    const used = folders;
    folders = [];
    await Promise.all(used.map((folder) => rm(folder, { recursive: true, force: true })));
  });
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-lmdb-"));
    folders.push(folder);
    return folder;
  };
}
