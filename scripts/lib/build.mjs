/**
 * Builds dist from src, gen and the demo page, when they have changed since the last build.
 *
 * A stamp in dist holds the hash of what it was built from. The build is written beside dist and
 * then takes its place, so that dist is never half written.
 */
import { cp, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { withSetupLock } from "./ensure.mjs";
import { Failure, hashOf, readIfThere, say } from "./project.mjs";
import { runTool } from "./tools.mjs";

/** The demo page, which browsers load without a build step. */
const PAGES = "web/demo";
const SOURCES = ["src", "gen", PAGES, "tsconfig.json", "tsconfig.build.json", "package-lock.json"];

/**
 * Makes sure that dist is built from the present sources. Safe to call from several processes.
 *
 * @param {string} folder The project's folder. Its packages are installed.
 * @throws {Failure} With the compiler's errors.
 */
export async function ensureBuilt(folder) {
  const dist = join(folder, "dist");
  const stampFile = join(dist, ".millrace-stamp");
  const wanted = await hashOf(folder, SOURCES);
  if ((await readIfThere(stampFile)) === wanted) return;
  await withSetupLock(folder, async () => {
    if ((await readIfThere(stampFile)) === wanted) return;
    say("Building ...");
    // Beside dist, not in a temporary folder: source maps are relative.
    const next = join(folder, "dist.next");
    await rm(next, { recursive: true, force: true });
    const args = ["-p", "tsconfig.build.json", "--outDir", next];
    const { code, output } = await runTool(folder, "tsc", args);
    if (code !== 0) {
      await rm(next, { recursive: true, force: true });
      throw new Failure(`${output.trimEnd()}\nThe build failed: the compiler's errors are above.`);
    }
    await cp(join(folder, PAGES), join(next, PAGES), { recursive: true });
    await copyScripts(join(folder, "src"), join(next, "src"));
    await writeFile(join(next, ".millrace-stamp"), wanted);
    await rm(dist, { recursive: true, force: true });
    await rename(next, dist);
    say("Built.");
  });
}

/** Copies the Lua scripts, which the compiler ignores. @param {string} from @param {string} to */
async function copyScripts(from, to) {
  for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith(".lua")) continue;
    const folder = join(to, relative(from, entry.parentPath));
    await mkdir(folder, { recursive: true });
    await cp(join(entry.parentPath, entry.name), join(folder, entry.name));
  }
}
