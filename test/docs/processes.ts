import { spawn } from "node:child_process";
import { once } from "node:events";

/** A command under way. */
export interface Running {
  /**
   * Resolves with what it printed on stdout once that is as wanted.
   *
   * @throws Error when it ends before, with what it printed.
   */
  shows(isWanted: (printed: string) => boolean): Promise<string>;
  /** Resolves when it has ended by itself. */
  ended(): Promise<Ended>;
  /** Ends it and all that it started, and waits for that. Idempotent. */
  stop(): Promise<void>;
}

/** How a command ended. */
export interface Ended {
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs lines of shell in a folder, as somebody who pastes them into a terminal, but stopping at a failure. */
export function start(code: string, cwd: string): Running {
  // A process group of its own, so that stopping reaches whatever it started.
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
      // It has ended already.
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

/** Runs lines of shell to their end. */
export async function run(code: string, cwd: string): Promise<Ended> {
  return start(code, cwd).ended();
}
