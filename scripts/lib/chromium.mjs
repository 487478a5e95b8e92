/**
 * Chromium, for the tests of the page: an installed one, or on Debian the distribution's.
 *
 * Only those tests need a browser; without one they are skipped with the reason given here.
 */
import { access, constants, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { withSetupLock } from "./ensure.mjs";
import { Failure, say } from "./project.mjs";
import { run } from "./run.mjs";

/**
 * Names of the program. The first one found is used. The shell has no user interface of its own,
 * which takes half of the processor time of these tests.
 */
const NAMES = [
  "chromium-headless-shell",
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
];

/** Debian's package and its program. */
const PACKAGE = "chromium-headless-shell";

/** Its paths on macOS, which puts no browser on the PATH. */
const MAC_PROGRAMS = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

const LOOK_ELSEWHERE = `install the package ${PACKAGE}, or name the program in the environment variable CHROMIUM_PATH`;

/**
 * @typedef {object} Machine The machine that Chromium is searched and may be installed on.
 * @property {NodeJS.ProcessEnv} env
 * @property {NodeJS.Platform} platform
 * @property {boolean} isRoot
 * @property {() => Promise<string>} osRelease Text of /etc/os-release.
 * @property {(text: string) => void} say Prints progress to the terminal.
 */

/** @type {Machine} */
const THIS_MACHINE = {
  env: process.env,
  platform: process.platform,
  isRoot: process.getuid?.() === 0,
  osRelease: async () => readFile("/etc/os-release", "utf8").catch(() => ""),
  say,
};

/**
 * @typedef {{ readonly program: string } | { readonly missing: string }} Chromium The program's
 *   path,
 *   or a sentence with the reason why there is none.
 */

/**
 * Finds Chromium. If there is none, root on Debian installs the package `chromium-headless-shell`, with a message
 * on stderr; MILLRACE_INSTALL=0 forbids that. Safe to call from several processes.
 *
 * @param {string} folder The project's folder.
 * @param {Machine} machine
 * @returns {Promise<Chromium>}
 * @throws {Failure} When CHROMIUM_PATH is not the path of a program.
 */
export async function ensureChromium(folder, machine = THIS_MACHINE) {
  const there = await findChromium(machine);
  if (there !== undefined) return { program: there };
  if (machine.env["MILLRACE_INSTALL"] === "0") {
    return { missing: "Chromium is not here, and MILLRACE_INSTALL=0 forbids installing it" };
  }
  const isDebian = /^ID=["']?debian["']?$/m.test(await machine.osRelease());
  if (!isDebian || !machine.isRoot) {
    const only = "only root on Debian can have it installed by the tests";
    return { missing: `Chromium is not here, and ${only}: ${LOOK_ELSEWHERE}` };
  }
  return withSetupLock(folder, async () => {
    // Another process may have installed it while this one waited.
    const meanwhile = await findChromium(machine);
    if (meanwhile !== undefined) return { program: meanwhile };
    const problem = await install(machine);
    const program = await findChromium(machine);
    if (program !== undefined) return { program };
    return { missing: `Chromium could not be installed (${problem}): ${LOOK_ELSEWHERE}` };
  });
}

/**
 * @param {Machine} machine
 * @returns {Promise<string | undefined>} Path of the program.
 */
async function findChromium({ env, platform }) {
  const named = env["CHROMIUM_PATH"];
  if (named !== undefined && named !== "") {
    if (await isProgram(named)) return named;
    throw new Failure(
      `CHROMIUM_PATH is "${named}", which is no program; it may be Chromium's path.`,
    );
  }
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  if (platform === "darwin") candidates.push(...MAC_PROGRAMS);
  for (const candidate of candidates) if (await isProgram(candidate)) return candidate;
  return undefined;
}

/** @param {string} path */
async function isProgram(path) {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/**
 * @param {Machine} machine
 * @returns {Promise<string>} What went wrong, if something did.
 */
async function install({ env, say: print }) {
  print(`Installing Chromium for the tests of the browser page (apt-get install ${PACKAGE}) ...`);
  const startMs = performance.now();
  /** @param {string[]} args */
  const aptGet = async (args) =>
    run("apt-get", ["--yes", "--quiet", "--option", "DPkg::Lock::Timeout=120", ...args], {
      cwd: "/",
      env: { ...env, DEBIAN_FRONTEND: "noninteractive" },
    });
  const installing = ["install", "--no-install-recommends", PACKAGE];
  try {
    // Machines often have no package lists, or outdated ones.
    await aptGet(["update"]);
    const { code, output } = await aptGet(installing);
    if (code !== 0) {
      const complaint = output.split("\n").find((line) => line.startsWith("E: "));
      return complaint ?? `apt-get ended with status ${code}`;
    }
  } catch (error) {
    return `apt-get could not be started: ${String(error)}`;
  }
  print(`Chromium installed in ${((performance.now() - startMs) / 1000).toFixed(0)} s.`);
  return "the package has no program that is known here";
}
