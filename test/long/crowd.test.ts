import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startChild } from "../support/long/child-server.ts";
import { LONG } from "../support/long/violations.ts";

/*
 * A crowd of clients that reconnect within a second, as after a restart, beside silent connections.
 */

const CLIENTS = LONG ? 5000 : 500;
const SILENT = LONG ? 2000 : 200;
/** Connections of one child process. */
const PER_PROCESS = 1000;
const SPREAD_MS = 1000;
const FIRST_BYTE_MS = 100;
const SCRIPT = fileURLToPath(new URL("../support/long/crowd-child.mjs", import.meta.url));

/** Opens connections from child processes. Resolves with the output of each. */
async function open(port: number, count: number, how: object): Promise<Record<string, number>[]> {
  const sizes = Array.from({ length: Math.ceil(count / PER_PROCESS) }, (_, i) =>
    Math.min(PER_PROCESS, count - i * PER_PROCESS),
  );
  return Promise.all(
    sizes.map(async (size) => {
      const options = JSON.stringify({ port, count: size, spreadMs: 0, ...how });
      const child = spawn(process.execPath, [SCRIPT, options], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      onTestFinished(() => void child.kill());
      const [line] = (await once(createInterface(child.stdout), "line")) as [string];
      return JSON.parse(line) as Record<string, number>;
    }),
  );
}

const sum = (reports: readonly Record<string, number>[], name: string) =>
  reports.reduce((total, report) => total + (report[name] ?? 0), 0);

test(
  `${CLIENTS} clients that reconnect within a second are served beside ${SILENT} silent connections`,
  { timeout: 120_000 },
  async () => {
    const server = await startChild({ port: 0, store: { kind: "in_memory" } });
    onTestFinished(() => server.kill());
    const port = Number(new URL(server.url).port);
    const silent = await open(port, SILENT, { localAddress: "127.0.0.2", silent: true });
    expect(sum(silent, "opened")).toBe(SILENT);
    const started = performance.now();
    const crowd = await open(port, CLIENTS, { spreadMs: SPREAD_MS, firstByteMs: FIRST_BYTE_MS });
    const tookMs = Math.round(performance.now() - started);
    const [served, cut] = [sum(crowd, "served"), sum(crowd, "cut")];
    console.info(
      `a crowd of ${CLIENTS} beside ${SILENT} silent connections: ${served} served, ${cut} cut, in ${tookMs} ms`,
    );
    expect({ served, cut }).toEqual({ served: CLIENTS, cut: 0 });
  },
);
