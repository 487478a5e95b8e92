/**
 * Unpacks the distribution's Redis server into a folder of the project, with the libraries that the
 * machine lacks. That needs no root, and nothing on the machine changes.
 */
import { chmod, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./run.mjs";

/** The second has the program: on Debian the first only has a link to it. */
const PACKAGES = ["redis-server", "redis-tools"];
const SERVER = "usr/bin/redis-server";
/** Where packages have libraries, each in a folder named after the machine's architecture. */
const LIBRARY_FOLDERS = ["usr/lib", "lib"];

/** An answer of apt that says no. */
class Refusal extends Error {}

/**
 * Unpacks the server. It is then run as `redis-server` in the folder it is unpacked into.
 *
 * @param {string} home The folder it is unpacked into; what was there is replaced.
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string | undefined>} What went wrong, if something did.
 */
export async function unpackRedis(home, env) {
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
    await unpack(place, { ...env, LC_ALL: "C" });
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
 * @param {NodeJS.ProcessEnv} env
 */
async function unpack({ packages, apt, home }, env) {
  const download = downloader(packages, apt, env);
  /** @type {Set<string>} */
  const had = new Set();
  let wanted = PACKAGES;
  for (;;) {
    const files = await download(wanted);
    for (const name of wanted) had.add(name);
    for (const file of files) await dpkg(["dpkg-deb", "--extract", file, join(home, "root")], env);
    const program = await writeProgram(home);
    const { code, output } = await run(program, ["--version"], { cwd: "/", env });
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
 * Makes a function that downloads packages: with the machine's lists of packages, or with lists of its
 * own where those are missing or out of date.
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
 * Writes the script that runs the server with the libraries beside it.
 *
 * @param {string} home
 * @returns {Promise<string>} Its path.
 */
async function writeProgram(home) {
  const folders = [];
  for (const parent of LIBRARY_FOLDERS) {
    const names = await readdir(join(home, "root", parent)).catch(() => []);
    for (const name of names) {
      if (name.includes("-linux-")) folders.push(`$here/root/${parent}/${name}`);
    }
  }
  const program = join(home, "redis-server");
  const lines = ["#!/bin/sh", "here=${0%/*}"];
  if (folders.length > 0) {
    lines.push(
      `LD_LIBRARY_PATH="${folders.join(":")}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"`,
      "export LD_LIBRARY_PATH",
    );
  }
  lines.push(`exec "$here/root/${SERVER}" "$@"`);
  await writeFile(program, `${lines.join("\n")}\n`);
  await chmod(program, 0o755);
  return program;
}

/**
 * The libraries in a package's list of what it depends on. Of alternatives the first.
 *
 * @param {string} depends For example `libc6 (>= 2.34), libjemalloc2, adduser | opensysusers`.
 * @returns {string[]}
 */
function librariesIn(depends) {
  return depends.split(",").flatMap((one) => /^\s*((?:lib|lua-)[a-z0-9.+-]+)/.exec(one)?.[1] ?? []);
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
