import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer as createNet } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ServerOptions } from "millrace/server";
import { joinedScript } from "../children/joined-script.ts";

const SCRIPT = fileURLToPath(new URL("server-child.mjs", import.meta.url));

/** A server in a child process, which can be killed at any moment. */
export interface ChildServer {
  readonly url: string;
  /** Id of the process. */
  readonly pid: number;
  /**
   * Collects garbage, if it was started with `--expose-gc`.
   *
   * @returns its memory use, and its CPU time so far in microseconds.
   */
  collect(): Promise<NodeJS.MemoryUsage & { readonly cpuUs: number }>;
  /** Ends it with SIGKILL, like a crash. */
  kill(): Promise<void>;
  /** Ends it with SIGTERM. @returns its exit code. */
  stop(): Promise<number | null>;
}

/** Options that survive JSON. */
export type ChildOptions = Omit<ServerOptions, "logger" | "now">;

/** Options of the process of a server. */
export interface ChildProcessOptions {
  /** Flags of Node, for example `--expose-gc`. */
  readonly flags?: readonly string[];
  /** Environment in addition to that of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** A script to run instead; it receives the options as JSON, and prints the same line. */
  readonly script?: string;
}

/** Starts a server and waits until it serves. */
export async function startChild(
  options: ChildOptions | object,
  { flags = [], env = {}, script = SCRIPT }: ChildProcessOptions = {},
): Promise<ChildServer> {
  const program = await joinedScript(script);
  const child = spawn(process.execPath, [...flags, program, JSON.stringify(options)], {
    // It ends when its stdin closes, however this process ends.
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const errors: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => errors.push(text));
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const lines = createInterface(child.stdout);
  const line = await Promise.race([
    once(lines, "line") as Promise<[string]>,
    exited.then(([code]) => {
      throw new Error(`the server ended with ${code}: ${errors.join("")}`);
    }),
  ]);
  const end = async (signal: "SIGKILL" | "SIGTERM", process: ChildProcess) => {
    process.kill(signal);
    return (await exited)[0];
  };
  return {
    url: line[0].replace("millrace listening on ", ""),
    pid: child.pid ?? 0,
    async collect() {
      const collected = once(lines, "line") as Promise<[string]>;
      child.kill("SIGUSR2");
      return JSON.parse((await collected)[0]) as NodeJS.MemoryUsage & { cpuUs: number };
    },
    kill: async () => void (await end("SIGKILL", child)),
    stop: () => end("SIGTERM", child),
  };
}

/** A port that was free a moment ago, for a server that must restart at the same address. */
export async function freePort(): Promise<number> {
  const server = createNet().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
