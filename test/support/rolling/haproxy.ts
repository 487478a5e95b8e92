import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { ensureDebianProgram } from "../../../scripts/lib/debian-packages.mjs";
import { PROJECT } from "../../../scripts/lib/project.mjs";

const HAPROXY = {
  name: "haproxy",
  packages: ["haproxy"],
  path: "usr/sbin/haproxy",
  versionFlag: "-v",
};

/** The balancer program for the tests of this process, or why it is missing. It may be fetched. */
export function haproxyProgram() {
  return ensureDebianProgram(PROJECT, HAPROXY);
}

/** Runs a balancer until the test ends. Resolves when `url` responds with 200. */
export async function startHaproxy(config: string, url: string): Promise<void> {
  const haproxy = await haproxyProgram();
  if ("missing" in haproxy) throw new Error(haproxy.missing);
  const folder = await mkdtemp(join(tmpdir(), "millrace-haproxy-"));
  const file = join(folder, "haproxy.cfg");
  await writeFile(file, config);
  const child = spawn(haproxy.program, ["-db", "-f", file], { stdio: ["ignore", "pipe", "pipe"] });
  const printed: string[] = [];
  for (const output of [child.stdout, child.stderr])
    output.setEncoding("utf8").on("data", (text: string) => printed.push(text));
  const ended = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true });
  });
  for (;;) {
    if (child.exitCode !== null) throw new Error(`haproxy ended:\n${printed.join("")}`);
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok === true) return;
    await delay(20);
  }
}
