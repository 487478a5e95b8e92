import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";

/** The real project's folder. */
export const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

const made: string[] = [];

afterEach(async () => {
  const folders = made.splice(0);
  await Promise.all(folders.map(async (folder) => rm(folder, { recursive: true, force: true })));
});

/**
 * A folder with copies of some of the project's files, files of the test's own, and the project's
 * installed packages. It is removed after the test.
 *
 * @param copied Paths of files and folders of the project.
 * @param planted Path -> content.
 * @returns Path of the folder.
 */
export async function tempProject(
  copied: readonly string[],
  planted: Readonly<Record<string, string>> = {},
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-gate-"));
  made.push(folder);
  for (const path of copied) {
    await cp(join(PROJECT, path), join(folder, path), { recursive: true });
  }
  await symlink(join(PROJECT, "node_modules"), join(folder, "node_modules"));
  for (const [path, content] of Object.entries(planted)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}
