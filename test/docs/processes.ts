import { spawn } from "node:child_process";
import { once } from "node:events";

/** A running command. */
export interface Running {
  /**
   * Resolves with its stdout so far, once that satisfies the condition.
   *
   * @throws Error with its output, when it ends before.
   */
  shows(isWanted: (printed: string) => boolean): Promise<string>;
  /** Resolves when it has ended. */
  ended(): Promise<Ended>;
  /** Ends it and all processes that it started. Resolves when they have ended. Idempotent. */
  stop(): Promise<void>;
}

/** The outcome of a command. */
export interface Ended {
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs shell lines in a folder like in a terminal, but stops at the first failure. */
export function start(code: string, cwd: string): Running {
  // In a separate process group, so that a stop reaches everything it started.
  const child = spawn("bash", ["-euo", "pipefail", "-c", code], {
    cwd,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let status: number | string | undefined;
  let wake = () => {};
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    wake();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    wake();
  });
  const closed = once(child, "close").then(([exit, signal]: unknown[]) => {
    status = (exit ?? signal) as number | string;
    wake();
  });
  const kill = (signal: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // It has already ended.
    }
  };
  return {
    async shows(isWanted) {
      while (!isWanted(stdout)) {
        if (status !== undefined)
          throw new Error(`It ended with ${status} too early:\n${stdout}${stderr}`);
        await new Promise<void>((resolve) => (wake = resolve));
      }
      return stdout;
    },
    async ended() {
      await closed;
      return { status: status ?? "nothing", stdout, stderr };
    },
    async stop() {
      kill("SIGTERM");
      const timer = setTimeout(() => kill("SIGKILL"), 15_000);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Runs shell lines to their end. */
export async function run(code: string, cwd: string): Promise<Ended> {
  return start(code, cwd).ended();
}
