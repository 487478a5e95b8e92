import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { StoreOptions } from "../../../src/server/open-store.ts";
import { connect } from "../../bridge/line.ts";
import { joinedScript } from "../children/joined-script.ts";
import type { DoorTarget } from "../doors/door.ts";
import { uniqueName } from "../doors/unique.ts";
import { type Calls, newCalls, promised } from "./calls.ts";
import type { JoinPayload } from "./gated-server.ts";

const SCRIPT = fileURLToPath(new URL("leave-child.mjs", import.meta.url));

export interface LeaveChildOptions {
  readonly store: StoreOptions;
  /** Whether the process provides the gate. */
  readonly gate: boolean;
  /** Whether it has a join listener instead, whose calls are the joins. */
  readonly listens?: boolean;
  /** How long sessions wait for their clients, in milliseconds. */
  readonly presenceTimeoutMs?: number;
  /** Whether it registers its leave trigger only in `registerLeaveTrigger`. */
  readonly late?: boolean;
  /** Group whose leave calls never finish. */
  readonly stuck?: string;
}

/** A server in another process that reports the joins and leaves it receives. */
export interface LeaveChild {
  readonly url: string;
  readonly joins: Calls<JoinPayload>;
  readonly leaves: Calls<JoinPayload>;
  /** Registers the leave trigger, when the process was started with `late`. */
  registerLeaveTrigger(): Promise<void>;
  /** Ends the process. Resolves after its exit. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Suspends the process, like a machine that stands still. */
  pause(): void;
  /** Resumes it. */
  resume(): void;
}

/** Starts a server from the build. It is killed after the test. */
export async function startLeaveChild(options: LeaveChildOptions): Promise<LeaveChild> {
  const child = spawn(process.execPath, [await joinedScript(SCRIPT), JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const errors: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => errors.push(text));
  const exited = once(child, "exit");
  onTestFinished(() => void child.kill("SIGKILL"));
  const [joins, leaves] = [newCalls<JoinPayload>(), newCalls<JoinPayload>()];
  const registered = promised();
  const url = await new Promise<string>((resolve, reject) => {
    void exited.then(([code]) =>
      reject(new Error(`the server ended with ${code}: ${errors.join("")}`)),
    );
    createInterface(child.stdout).on("line", (text) => {
      const line = JSON.parse(text) as { kind: string; url: string; payload: JoinPayload };
      if (line.kind === "listening") resolve(line.url);
      else if (line.kind === "registered") registered.resolve();
      else (line.kind === "join" ? joins : leaves).record(line.payload);
    });
  });
  return {
    url,
    joins,
    leaves,
    async registerLeaveTrigger() {
      child.kill("SIGUSR2");
      await registered.promise;
    },
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
    async end(signal) {
      child.kill(signal);
      await exited;
    },
  };
}

/** A server in another process, as the target of doors that use its URL. */
export const remote = ({ url }: LeaveChild): DoorTarget => ({
  url,
  get service(): never {
    throw new Error("it is in another process");
  },
});

export const idsOf = (payloads: readonly JoinPayload[]) =>
  payloads.map((each) => each.subscription_id);

/**
 * All leaves that a process has received up to now. Ends a subscription of its own in the stream
 * `rooms` and waits for that leave, which is not in the result.
 */
export async function leavesSoFar({ url, leaves }: LeaveChild): Promise<JoinPayload[]> {
  const barrier = uniqueName("barrier");
  const line = await connect(url, "/");
  line.join({ streamName: "rooms", groupId: barrier, subscriptionId: barrier });
  await line.count(1);
  line.socket.terminate();
  const all = await leaves.until("the barrier", (received) => idsOf(received).includes(barrier));
  return all.filter((each) => !each.subscription_id.startsWith("barrier-"));
}
