/**
 * A Redis server, for tests: an installed one, or on Debian and derivatives the distribution's,
 * unpacked into the project's folder. That needs no root, and does not change the machine.
 *
 * Only the tests of Redis need a server; without one they are skipped with the reason given here.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { foldersOf, hasApt, isProgram, unpackProgram } from "./debian-packages.mjs";
import { withSetupLock } from "./ensure.mjs";
import { Failure, say } from "./project.mjs";
import { run } from "./run.mjs";

/** Names of the program. The first one found that is new enough is used. */
const NAMES = ["redis-server", "valkey-server"];

/** Prefix of the output of --version -> the minimum version. Valkey starts at 7.2. */
const FIRST_VERSIONS = /** @type {const} */ ({ Redis: [7, 0], Valkey: [7, 2] });

/** The second package has the program: on Debian the first only has a link to it. */
const DEBIAN_REDIS = {
  name: "redis-server",
  packages: ["redis-server", "redis-tools"],
  path: "usr/bin/redis-server",
  versionFlag: "--version",
};

const LOOK_ELSEWHERE =
  "install redis-server 7 or later, or name the program in the environment variable REDIS_SERVER_PATH";

/**
 * @typedef {object} Machine The machine that the server is searched and may be fetched on.
 * @property {NodeJS.ProcessEnv} env
 * @property {string} serverPath The folders to search for a server, in the form of PATH.
 * @property {() => Promise<string>} osRelease Text of /etc/os-release.
 * @property {(text: string) => void} say Prints progress to the terminal.
 */

/** @type {Machine} */
const THIS_MACHINE = {
  env: process.env,
  serverPath: process.env["PATH"] ?? "",
  osRelease: async () => readFile("/etc/os-release", "utf8").catch(() => ""),
  say,
};

/**
 * @typedef {{ readonly program: string, readonly version: string }} RedisServer The program's
 *   path, and
 *   its version.
 * @typedef {RedisServer | { readonly missing: string }} Redis Or a sentence with the reason why
 *   there is none.
 */

/**
 * Finds a server of Redis 7 or later, or of Valkey. If there is none, on Debian and derivatives, it
 * unpacks the distribution's into the folder's .cache, with a message on stderr; MILLRACE_INSTALL=0
 * forbids that. Safe to call from several processes.
 *
 * @param {string} folder The project's folder.
 * @param {Machine} machine
 * @returns {Promise<Redis>}
 * @throws {Failure} When REDIS_SERVER_PATH is not the path of such a server.
 */
export async function ensureRedis(folder, machine = THIS_MACHINE) {
  const home = join(folder, ".cache", "redis");
  const there = await findRedis(home, machine);
  if (there.server !== undefined) return there.server;
  const old = there.old.length === 0 ? "" : ` (${there.old.join(", ")})`;
  const none = `Redis 7 or later is not here${old}`;
  if (machine.env["MILLRACE_INSTALL"] === "0") {
    return { missing: `${none}, and MILLRACE_INSTALL=0 forbids fetching it` };
  }
  if (!(await hasApt(machine))) {
    const only =
      "only Debian and derivatives, with apt-get and dpkg-deb, can have the tests fetch it";
    return { missing: `${none}, and ${only}: ${LOOK_ELSEWHERE}` };
  }
  return withSetupLock(folder, async () => {
    // Another process may have fetched it while this one waited.
    const meanwhile = await findRedis(home, machine);
    if (meanwhile.server !== undefined) return meanwhile.server;
    const isTooOld = meanwhile.old.some((one) => one.startsWith(home));
    const problem = isTooOld ? undefined : await unpack(home, machine);
    if (problem === undefined) {
      const { server } = await findRedis(home, machine);
      if (server !== undefined) return server;
    }
    const why = problem ?? "the distribution's is too old";
    return { missing: `${none}, and could not be fetched (${why}): ${LOOK_ELSEWHERE}` };
  });
}

/**
 * Unpacks the distribution's server, with a message.
 *
 * @param {string} home
 * @param {Machine} machine
 * @returns {Promise<string | undefined>} What went wrong, if something did.
 */
async function unpack(home, { env, say: print }) {
  print("Fetching a Redis server for the tests (apt-get download redis-server) ...");
  const startMs = performance.now();
  const problem = await unpackProgram(home, DEBIAN_REDIS, env);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  if (problem === undefined) print(`Redis server unpacked into ${home} in ${seconds} s.`);
  return problem;
}

/**
 * @param {string} home Where one that was fetched is.
 * @param {Machine} machine
 * @returns {Promise<{ server?: RedisServer, old: string[] }>} Also says which are too old.
 */
async function findRedis(home, machine) {
  const named = machine.env["REDIS_SERVER_PATH"];
  if (named !== undefined && named !== "")
    return { server: await namedRedis(named, machine), old: [] };
  const folders = foldersOf(machine.serverPath);
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  const old = [];
  for (const program of [...candidates, join(home, "redis-server")]) {
    const found = (await isProgram(program)) ? await askVersion(program, machine) : undefined;
    if (found?.isNewEnough) return { server: { program, version: found.version }, old };
    if (found !== undefined) old.push(`${program} is ${found.name}`);
  }
  return { old };
}

/**
 * @param {string} program What REDIS_SERVER_PATH says.
 * @param {Machine} machine
 * @returns {Promise<RedisServer>}
 */
async function namedRedis(program, machine) {
  const variable = `REDIS_SERVER_PATH is "${program}"`;
  if (!(await isProgram(program))) {
    throw new Failure(`${variable}, which is no program; it may be redis-server's path.`);
  }
  const found = await askVersion(program, machine);
  if (found === undefined) {
    throw new Failure(`${variable}, which does not say that it is a server of Redis or Valkey.`);
  }
  if (found.isNewEnough) return { program, version: found.version };
  throw new Failure(`${variable}, which is ${found.name}; it has to be version 7 or later.`);
}

/**
 * Determines what a program is, by its --version.
 *
 * @param {string} program
 * @param {Machine} machine
 * @returns {Promise<{ name: string, version: string, isNewEnough: boolean } | undefined>} Undefined
 *   when it is neither Redis nor Valkey, or does not run.
 */
async function askVersion(program, { env }) {
  const asked = await run(program, ["--version"], { cwd: "/", env }).catch(() => undefined);
  const said = /^(Redis|Valkey) server v=((\d+)\.(\d+)\S*)/m.exec(asked?.output ?? "");
  if (asked?.code !== 0 || said === null) return undefined;
  const [, kind, version = "", major, minor] = said;
  const [firstMajor, firstMinor] = FIRST_VERSIONS[/** @type {"Redis" | "Valkey"} */ (kind)];
  const isNewEnough =
    Number(major) > firstMajor || (Number(major) === firstMajor && Number(minor) >= firstMinor);
  return { name: `${kind} ${version}`, version, isNewEnough };
}
