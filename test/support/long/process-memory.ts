import { readFile, readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** Resident memory of a process, in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** Number of open files of a process, sockets included. */
export async function openFiles(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

/** Waits until a process has at most `max` open files. */
export async function untilFiles(pid: number, max: number, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (let files = Infinity; files > max;) {
    files = await openFiles(pid);
    if (files > max && performance.now() > deadline)
      throw new Error(`process ${pid} still has ${files} open files, not ${max}`);
    if (files > max) await sleep(50);
  }
}
