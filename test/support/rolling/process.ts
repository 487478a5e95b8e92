import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PROJECT } from "../../../scripts/lib/project.mjs";

const CLI = join(PROJECT, "dist/src/server/cli.js");

/** The built service in a child process. */
export interface CliProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** Text of its standard error so far. */
  errors(): string;
  /** Resolves with its exit status. */
  readonly ended: Promise<number | null>;
}

/** Its options. */
export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly cwd?: string;
}

/** Starts `millrace serve`, and waits until every door responds. */
export async function startCli({ env = {}, args = [], cwd = PROJECT }: CliOptions) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("MILLRACE_"));
  const child = spawn(process.execPath, [CLI, "serve", ...args], {
    cwd,
    env: { ...Object.fromEntries(own), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const ended = once(child, "exit").then(([code]) => code as number | null);
  const line = await Promise.race([
    once(createInterface(child.stdout), "line").then(([first]) => String(first)),
    ended.then((code) => {
      throw new Error(`The service ended with ${code}:\n${errors}`);
    }),
  ]);
  const url = line.replace("millrace listening on ", "");
  const running: CliProcess = { url, child, errors: () => errors, ended };
  return running;
}
