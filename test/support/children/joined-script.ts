import { mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { withLock } from "../../../scripts/lib/lock.mjs";
import { PROJECT, hashOf, readIfThere } from "../../../scripts/lib/project.mjs";

/** Scripts that start a service or a worker of the build, relative to the project. */
const SCRIPTS = [
  "test/support/gates/leave-child.mjs",
  "test/support/long/fleet-child.mjs",
  "test/support/long/gated-child.mjs",
  "test/support/long/revocable-child.mjs",
  "test/support/long/server-child.mjs",
  "test/support/redis/order-child.mjs",
  "test/support/triggers/trigger-child.mjs",
  "test/support/workers/worker-child.mjs",
];

/** ES modules that load hundreds of files. Other packages stay outside, as they are installed. */
const JOINED_PACKAGES = /^(?:@bufbuild\/protobuf|@connectrpc\/[a-z-]+|jose)(?:\/|$)/;

let folder: Promise<string | undefined> | undefined;

/**
 * The script of a child process, joined with the modules of the build into few files: Node takes
 * 0.2 s of processor time to load it, and 0.5 s to load five hundred files. The code is that of
 * the build. At full length (MILLRACE_LONG=1) the children load the build itself.
 *
 * @param script Path of one of the scripts that are joined, or of any other.
 * @returns Path of the script to run; the same path for other scripts.
 */
export async function joinedScript(script: string): Promise<string> {
  if (process.env["MILLRACE_LONG"] === "1") return script;
  if (!SCRIPTS.some((each) => join(PROJECT, each) === script)) return script;
  folder ??= joinAll();
  const joined = await folder;
  return joined === undefined ? script : join(joined, basename(script));
}

/** Joins all scripts, unless they are. @returns their folder; undefined when there is no build. */
async function joinAll(): Promise<string | undefined> {
  const stamp = await readIfThere(join(PROJECT, "dist", ".millrace-stamp"));
  if (stamp === undefined) return undefined;
  const sources = await hashOf(PROJECT, ["test/support"]);
  const home = join(PROJECT, ".cache", "children");
  const name = `${stamp.slice(0, 16)}-${sources.slice(0, 16)}`;
  const isThere = async () =>
    stat(join(home, name)).then(
      () => true,
      () => false,
    );
  if (await isThere()) return join(home, name);
  await withLock(
    join(PROJECT, ".cache", "children-lock"),
    () => {},
    async () => {
      if (await isThere()) return;
      // Those of earlier builds.
      await rm(home, { recursive: true, force: true });
      await mkdir(home, { recursive: true });
      await write(join(home, "next"));
      await rename(join(home, "next"), join(home, name));
    },
  );
  return join(home, name);
}

async function write(dir: string): Promise<void> {
  const { rolldown } = await import("rolldown");
  const bundle = await rolldown({
    cwd: PROJECT,
    input: SCRIPTS,
    platform: "node",
    external: (id) => !/^[./]/.test(id) && !JOINED_PACKAGES.test(id),
    plugins: [
      {
        name: "own locations",
        // Modules find their Lua scripts and pages beside themselves.
        async transform(code, id) {
          if (!code.includes("import.meta")) return null;
          return code.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(id).href));
        },
      },
    ],
  });
  await bundle.write({
    dir,
    format: "esm",
    keepNames: true,
    entryFileNames: "[name].mjs",
    chunkFileNames: "[name]-[hash].mjs",
  });
  await bundle.close();
}
