import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { GroupName } from "../lifetimes/socket-client.ts";

const SCRIPT = fileURLToPath(new URL("present-child.mjs", import.meta.url));

/** A client in a process of its own. */
export interface PresentChild {
  readonly connectionId: string;
  signal(name: NodeJS.Signals): void;
}

/** Starts a client that is present in a group. It is killed after the test. */
export async function startPresentChild(url: string, group: GroupName): Promise<PresentChild> {
  const join = { ...group, subscriptionId: "s", presence: {} };
  const child = spawn(process.execPath, [SCRIPT, JSON.stringify({ url, join })], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit").then(([code]) => {
    throw new Error(`The client ended with ${code}.`);
  });
  exited.catch(() => {});
  const [line] = (await Promise.race([once(child.stdout, "data"), exited])) as [Buffer];
  const { connectionId } = JSON.parse(line.toString()) as { readonly connectionId: string };
  return { connectionId, signal: (name) => void child.kill(name) };
}
