import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { GroupName } from "./socket-client.ts";

const SCRIPT = fileURLToPath(new URL("client-child.mjs", import.meta.url));

/**
 * Starts a client in a process of its own, which binds an item to its connection. It is killed
 * after the test.
 *
 * @returns What sends it a signal, once the item is there.
 */
export async function startClientChild(
  url: string,
  group: GroupName,
  itemId: string,
): Promise<(signal: NodeJS.Signals) => void> {
  const params = { ...group, itemId, data: 1, whileConnected: true };
  const child = spawn(process.execPath, [SCRIPT, JSON.stringify({ url, params })], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit").then(([code]) => {
    throw new Error(`The client ended with ${code}.`);
  });
  exited.catch(() => {});
  await Promise.race([once(child.stdout, "data"), exited]);
  return (signal) => void child.kill(signal);
}
