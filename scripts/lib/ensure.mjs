/**
 * Installs the packages of package-lock.json if they are not installed yet.
 *
 * A stamp in node_modules records the lock file, Node and machine of the installation. It is
 * written last, and `npm ci` deletes it first, so that it never marks a partial installation as
 * complete.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withLock } from "./lock.mjs";
import { Failure, hashOf, readIfThere, say } from "./project.mjs";
import { run } from "./run.mjs";

const PROGRESS_MS = 3000;
/** Lines of npm's output to show: the first lines contain the error. */
const MAX_COMPLAINTS = 20;

/**
 * Makes sure that node_modules matches package-lock.json. Safe to call from several processes.
 *
 * @param {string} folder The project's folder.
 * @throws {Failure} With the problem and what to do about it.
 */
export async function ensureInstalled(folder) {
  const stampFile = join(folder, "node_modules", ".millrace-stamp");
  const wanted = await installStamp(folder);
  if ((await readIfThere(stampFile)) === wanted) return;
  await withSetupLock(folder, async () => {
    if ((await readIfThere(stampFile)) === wanted) return;
    await install(folder);
    await writeFile(stampFile, wanted);
  });
}

/**
 * Holds the lock on node_modules and dist, with a message when it has to wait.
 *
 * @template T
 * @param {string} folder The project's folder.
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withSetupLock(folder, work) {
  const lock = join(folder, ".cache", "setup-lock");
  return withLock(
    lock,
    (owner) => say(`Waiting for process ${owner}, which installs or builds here (lock: ${lock}).`),
    work,
  );
}

/** @param {string} folder */
async function installStamp(folder) {
  const lockFile = await hashOf(folder, ["package-lock.json"]);
  const major = process.versions.node.split(".")[0];
  return `${lockFile} node-${major} ${process.platform}-${process.arch}\n`;
}

/** @param {string} folder */
async function install(folder) {
  say("Installing packages (npm ci) ...");
  const startMs = performance.now();
  const seconds = () => `${((performance.now() - startMs) / 1000).toFixed(0)} s`;
  let fetched = 0;
  const progress = setInterval(
    () => say(`  ${fetched} responses from the package registry, ${seconds()}`),
    PROGRESS_MS,
  );
  /** @type {string[]} */
  const complaints = [];
  const { file, args } = npm();
  try {
    // The tools are development packages, so NODE_ENV=production must not leave them out. No
    // package needs its install script: those with native code bring it ready made.
    const { code } = await run(
      file,
      [...args, "ci", "--include=dev", "--include=optional", "--ignore-scripts", "--loglevel=http"],
      {
        cwd: folder,
        onLine: (line) => {
          if (line.startsWith("npm http")) fetched += 1;
          else if (line.startsWith("npm error")) complaints.push(line);
        },
      },
    );
    if (code !== 0) {
      throw new Failure(installProblem(complaints.slice(0, MAX_COMPLAINTS).join("\n"), code));
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(
      `npm could not be started (${String(error)}). It comes with Node: is it on the PATH?`,
    );
  } finally {
    clearInterval(progress);
  }
  say(`Packages installed in ${seconds()}.`);
}

/** How to call npm: the one that called us, if one did. */
function npm() {
  const path = process.env["npm_execpath"];
  if (path !== undefined && /npm-cli\.c?js$/.test(path)) {
    return { file: process.execPath, args: [path] };
  }
  return { file: process.platform === "win32" ? "npm.cmd" : "npm", args: [] };
}

/** Pattern of npm's output -> advice. The first match is used. */
const ADVICE = /** @type {const} */ ([
  [
    /ENOSPC/,
    "The disk is full. Free some space (about 500 MB are needed) and run the command again.",
  ],
  [
    /EACCES|EPERM|EROFS/,
    "A file or folder may not be written. Check who owns node_modules and the npm cache (npm config get cache).",
  ],
  [
    /E401|E403|ENEEDAUTH/,
    "The package registry refused. Check the registry (npm config get registry) and your access to it.",
  ],
  [
    /E404|ETARGET/,
    "The package registry lacks a package. Check which one it is: npm config get registry.",
  ],
  [
    /EINTEGRITY/,
    "A package arrived damaged. Run npm cache clean --force and then the command again.",
  ],
  [
    /CERT|self.signed/i,
    "The registry's certificate is not trusted. Behind a proxy that inspects traffic, set NODE_EXTRA_CA_CERTS to its certificate.",
  ],
  [
    /ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET|network/,
    "The package registry cannot be reached. Check the network and the proxy (npm config get proxy), then run the command again.",
  ],
  [
    /EUSAGE|in sync/,
    "package.json and package-lock.json disagree. Run npm install, and commit package-lock.json.",
  ],
]);

/**
 * Turns npm's errors into a message with advice.
 *
 * @param {string} complaints The lines that npm printed as errors.
 * @param {number} code npm's exit status.
 * @returns {string}
 */
export function installProblem(complaints, code) {
  const advice = ADVICE.find(([pattern]) => pattern.test(complaints))?.[1];
  return [
    complaints,
    `The packages could not be installed (npm ci ended with status ${code}).`,
    advice ?? "The lines above are npm's own.",
  ]
    .filter((part) => part !== "")
    .join("\n");
}
