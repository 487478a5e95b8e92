/**
 * A lock between processes, held during an installation or a build: two terminals may run commands
 * of the project at once.
 *
 * Each process that wants the lock puts a file of its own, named after itself, into one folder and
 * holds the lock when no other living process has one there. Two that collide both retreat and
 * retry after a random time. The file of a living process is never removed, which a single shared
 * lock file that may be stale cannot guarantee.
 *
 * A living owner touches its file every second. A file is ignored when its process on this machine
 * is gone, or when it is not touched any more (after a power failure, another process may have its
 * id).
 */
import { randomUUID } from "node:crypto";
import { rmSync, utimes } from "node:fs";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const TOUCH_MS = 1000;
const LOOK_MS = 100;
/** Consecutive checks (half a minute) without a touch after which the owner is gone. */
const LOOKS_UNTIL_GONE = 300;

/**
 * Runs work while holding the lock.
 *
 * @template T
 * @param {string} folder The lock's folder; made when missing.
 * @param {(owner: string) => void} onWait Called once when another process holds it, with its id.
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(folder, onWait, work) {
  await mkdir(folder, { recursive: true });
  const name = `${process.pid}@${hostname()}@${randomUUID()}`;
  const mine = join(folder, name);
  const release = () => rmSync(mine, { force: true });
  const others = watchOthers(folder, name);
  let waited = false;
  for (;;) {
    const owner = await others();
    if (owner === undefined) {
      await writeFile(mine, "");
      if ((await others()) === undefined) break;
      release();
      await sleep(Math.random() * LOOK_MS);
    } else {
      if (!waited) onWait(owner.split("@")[0] ?? owner);
      waited = true;
      await sleep(LOOK_MS);
    }
  }
  const touching = setInterval(() => touch(mine), TOUCH_MS);
  process.once("exit", release);
  try {
    return await work();
  } finally {
    clearInterval(touching);
    process.off("exit", release);
    release();
  }
}

/**
 * Touches the file of a living owner. A deleted file is ignored.
 *
 * @param {string} file
 */
function touch(file) {
  const now = new Date();
  utimes(file, now, now, () => {});
}

/**
 * Creates a function that finds a living owner and removes the files of dead ones.
 *
 * @param {string} folder
 * @param {string} self Name of the file that is ours.
 * @returns {() => Promise<string | undefined>} Name of a living owner's file.
 */
function watchOthers(folder, self) {
  /** @type {Map<string, { touchedMs: number, looks: number }>} */
  const seen = new Map();
  return async () => {
    for (const name of await readdir(folder)) {
      if (name === self) continue;
      const file = join(folder, name);
      const touchedMs = (await stat(file).catch(() => undefined))?.mtimeMs;
      if (touchedMs === undefined) continue;
      const before = seen.get(name);
      const looks = before?.touchedMs === touchedMs ? before.looks + 1 : 0;
      seen.set(name, { touchedMs, looks });
      if (looks < LOOKS_UNTIL_GONE && isAlive(name)) return name;
      await rm(file, { force: true });
    }
    return undefined;
  };
}

/**
 * Whether the process of a lock file may be alive. A process of another machine (or container)
 * always may be.
 *
 * @param {string} name
 */
function isAlive(name) {
  const [pid, host] = name.split("@");
  if (host !== hostname()) return true;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    // EPERM: it lives, but belongs to another user.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
