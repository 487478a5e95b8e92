/**
 * Programs for tests, unpacked from packages of Debian and its derivatives into a folder of the
 * project, with the libraries that the machine lacks. That needs no root, and nothing on the
 * machine changes.
 */
import {
  access,
  chmod,
  constants,
  mkdir,
  readFile,
  readdir,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { delimiter, join } from "node:path";
import { withSetupLock } from "./ensure.mjs";
import { say } from "./project.mjs";
import { run } from "./run.mjs";

/**
 * @typedef {object} DebianProgram A program and the packages that contain it.
 * @property {string} name Name of the program.
 * @property {readonly string[]} packages Packages to unpack. The libraries that they need are
 *   added automatically.
 * @property {string} path Path of the program in its package, for example `usr/sbin/haproxy`.
 * @property {string} versionFlag Argument that makes it print its version and end with status 0.
 */

/**
 * @typedef {object} DebianMachine The machine on which packages may be unpacked.
 * @property {NodeJS.ProcessEnv} env
 * @property {() => Promise<string>} osRelease Text of /etc/os-release.
 */

/** @type {DebianMachine} */
const THIS_MACHINE = {
  env: process.env,
  osRelease: async () => readFile("/etc/os-release", "utf8").catch(() => ""),
};

/** Where packages have libraries, each in a folder named after the machine's architecture. */
const LIBRARY_FOLDERS = ["usr/lib", "lib"];

/** A refusal of apt or dpkg. */
class Refusal extends Error {}

/**
 * Finds a program in PATH or in the project's .cache. Where it is in neither, and this is Debian or
 * a derivative, unpacks the distribution's into .cache and says so on stderr; MILLRACE_INSTALL=0
 * forbids that. Safe to call from several processes.
 *
 * @param {string} folder The project's folder.
 * @param {DebianProgram} program
 * @param {DebianMachine} machine
 * @returns {Promise<{ readonly program: string } | { readonly missing: string }>} Its path, or a
 *   sentence
 *   that says why there is none.
 */
export async function ensureDebianProgram(folder, program, machine = THIS_MACHINE) {
  const { name } = program;
  const { env } = machine;
  const home = join(folder, ".cache", name);
  // Daemons are in folders that may not be in the PATH.
  const folders = [...foldersOf(env["PATH"] ?? ""), "/usr/sbin", "/usr/local/sbin", home];
  const find = async () => {
    for (const place of folders) if (await isProgram(join(place, name))) return join(place, name);
    return undefined;
  };
  const found = await find();
  if (found !== undefined) return { program: found };
  if (env["MILLRACE_INSTALL"] === "0")
    return { missing: `${name} is not here, and MILLRACE_INSTALL=0 forbids fetching it` };
  if (!(await hasApt(machine)))
    return {
      missing: `${name} is not here, and only Debian and its derivatives can have it fetched`,
    };
  return withSetupLock(folder, async () => {
    // Another process may have fetched it while this one waited.
    const meanwhile = await find();
    if (meanwhile !== undefined) return { program: meanwhile };
    say(`Fetching ${name} for the tests (apt-get download ${program.packages.join(" ")}) ...`);
    const problem = await unpackProgram(home, program, env);
    if (problem === undefined) return { program: join(home, name) };
    return { missing: `${name} is not here, and could not be fetched (${problem})` };
  });
}

/**
 * Whether packages of the distribution can be unpacked here.
 *
 * @param {DebianMachine} machine
 */
export async function hasApt({ env, osRelease }) {
  if (!/^ID(_LIKE)?=.*\bdebian\b/m.test(await osRelease())) return false;
  const folders = foldersOf(env["PATH"] ?? "");
  for (const name of ["apt-get", "dpkg-deb"]) {
    const places = await Promise.all(folders.map(async (folder) => isProgram(join(folder, name))));
    if (!places.includes(true)) return false;
  }
  return true;
}

/** @param {string} path In the form of PATH. */
export function foldersOf(path) {
  return path.split(delimiter).filter((folder) => folder !== "");
}

/** @param {string} path */
export async function isProgram(path) {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/**
 * Unpacks a program. It is then run by its name in the folder that it is unpacked into.
 *
 * @param {string} home The folder that it is unpacked into; what was there is replaced.
 * @param {DebianProgram} program
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string | undefined>} What went wrong, if something did.
 */
export async function unpackProgram(home, program, env) {
  const next = `${home}.next`;
  await rm(next, { recursive: true, force: true });
  const place = {
    packages: join(next, "packages"),
    apt: join(next, "apt"),
    home: join(next, "home"),
  };
  for (const folder of [place.packages, join(place.apt, "lists", "partial"), place.home]) {
    await mkdir(folder, { recursive: true });
  }
  try {
    await unpack(place, program, { ...env, LC_ALL: "C" });
    await rm(home, { recursive: true, force: true });
    await rename(place.home, home);
    return undefined;
  } catch (error) {
    return error instanceof Refusal ? error.message : String(error);
  } finally {
    await rm(next, { recursive: true, force: true });
  }
}

/**
 * @param {{ packages: string, apt: string, home: string }} place Empty folders.
 * @param {DebianProgram} program
 * @param {NodeJS.ProcessEnv} env
 */
async function unpack({ packages, apt, home }, program, env) {
  const download = downloader(packages, apt, env);
  /** @type {Set<string>} */
  const had = new Set();
  let wanted = program.packages;
  for (;;) {
    const files = await download(wanted);
    for (const name of wanted) had.add(name);
    for (const file of files) await dpkg(["dpkg-deb", "--extract", file, join(home, "root")], env);
    const script = await writeScript(home, program);
    const { code, output } = await run(script, [program.versionFlag], { cwd: "/", env });
    if (code === 0) return;
    // It lacks a library.
    const libraries = new Set();
    for (const file of files) {
      const depends = await dpkg(["dpkg-deb", "--field", file, "Depends"], env);
      for (const name of librariesIn(depends)) if (!had.has(name)) libraries.add(name);
    }
    wanted = await notInstalled([...libraries], env);
    if (wanted.length === 0) throw new Refusal(`it does not run: ${output.trim()}`);
  }
}

/**
 * Makes a function that downloads packages: with the machine's lists of packages, or with lists of
 * its own where those are missing or out of date.
 *
 * @param {string} folder Where the packages come.
 * @param {string} apt Folder for the lists.
 * @param {NodeJS.ProcessEnv} env
 * @returns {(names: readonly string[]) => Promise<string[]>} Gives the files.
 */
function downloader(folder, apt, env) {
  /** @param {readonly string[]} args */
  const aptGet = async (args) =>
    // Root would otherwise leave the work to a user who may not write here.
    run("apt-get", ["--quiet", "--option", "APT::Sandbox::User=root", ...args], {
      cwd: folder,
      env,
    });
  const settings = [
    `Dir::State::Lists=${join(apt, "lists")}`,
    `Dir::Cache=${apt}`,
    "Debug::NoLocking=1",
  ];
  const ownLists = settings.flatMap((setting) => ["--option", setting]);
  /** @type {string[]} */
  let lists = [];
  return async (names) => {
    const before = new Set(await readdir(folder));
    let { code, output } = await aptGet([...lists, "download", ...names]);
    if (code !== 0 && lists.length === 0) {
      lists = ownLists;
      const update = await aptGet([...lists, "update"]);
      ({ code, output } = await aptGet([...lists, "download", ...names]));
      output = update.output + output;
    }
    if (code !== 0) {
      const complaint = output.split("\n").find((line) => /^(E|W): /.test(line));
      throw new Refusal(complaint ?? `apt-get ended with status ${code}`);
    }
    const files = (await readdir(folder)).filter((file) => file.endsWith(".deb"));
    return files.filter((file) => !before.has(file)).map((file) => join(folder, file));
  };
}

/**
 * Writes the script that runs the program with the libraries beside it.
 *
 * @param {string} home
 * @param {DebianProgram} program
 * @returns {Promise<string>} Its path.
 */
async function writeScript(home, { name, path }) {
  const folders = [];
  for (const parent of LIBRARY_FOLDERS) {
    const names = await readdir(join(home, "root", parent)).catch(() => []);
    for (const each of names) {
      if (each.includes("-linux-")) folders.push(`$here/root/${parent}/${each}`);
    }
  }
  const script = join(home, name);
  const lines = ["#!/bin/sh", "here=${0%/*}"];
  if (folders.length > 0) {
    lines.push(
      `LD_LIBRARY_PATH="${folders.join(":")}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"`,
      "export LD_LIBRARY_PATH",
    );
  }
  lines.push(`exec "$here/root/${path}" "$@"`);
  await writeFile(script, `${lines.join("\n")}\n`);
  await chmod(script, 0o755);
  return script;
}

/**
 * The libraries in a package's list of what it depends on. Of alternatives the first.
 *
 * @param {string} depends For example `libc6 (>= 2.34), libjemalloc2, adduser | opensysusers`.
 * @returns {string[]}
 */
function librariesIn(depends) {
  return depends
    .split(",")
    .flatMap((one) => /^\s*((?:lib|lua-|zlib)[a-z0-9.+-]+)/.exec(one)?.[1] ?? []);
}

/**
 * @param {string[]} names
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string[]>}
 */
async function notInstalled(names, env) {
  if (names.length === 0) return [];
  const format = "--showformat=${Package} ${db:Status-Status}\\n";
  // Ends with a status of its own when it does not know one of them.
  const { output } = await run("dpkg-query", ["--show", format, ...names], { cwd: "/", env });
  const lines = new Set(output.split("\n"));
  return names.filter((name) => !lines.has(`${name} installed`));
}

/**
 * @param {[string, ...string[]]} command
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string>} What it printed.
 */
async function dpkg([file, ...args], env) {
  const { code, output } = await run(file, args, { cwd: "/", env });
  if (code !== 0) throw new Refusal(`${file} ended with status ${code}: ${output.trim()}`);
  return output;
}
