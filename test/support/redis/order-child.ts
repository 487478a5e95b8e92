import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { joinedScript } from "../children/joined-script.ts";

const SCRIPT = fileURLToPath(new URL("order-child.mjs", import.meta.url));

/** A line of the child: see order-child.mjs. */
export interface OrderLine {
  readonly kind: "joined" | "order" | "pausing" | "resumed" | "lapsed" | "delivers";
  readonly order?: string;
  readonly mayDeliver?: boolean;
}

/** A member of a fleet in another process. */
export interface OrderChild {
  /** All lines so far. */
  readonly lines: readonly OrderLine[];
  /** Resolves when the child has printed a line of this kind. */
  until(kind: OrderLine["kind"]): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/** Starts a member from the build. Resolves when it has joined. It is killed after the test. */
export async function startOrderChild(options: {
  readonly url: string;
  readonly keyPrefix: string;
  readonly leaseMs: number;
}): Promise<OrderChild> {
  const child = spawn(process.execPath, [await joinedScript(SCRIPT), JSON.stringify(options)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: OrderLine[] = [];
  const waiters = new Set<() => void>();
  const review = () => {
    for (const waiter of Array.from(waiters)) waiter();
  };
  createInterface(child.stdout).on("line", (text) => {
    lines.push(JSON.parse(text) as OrderLine);
    review();
  });
  let hasEnded = false;
  child.once("exit", () => {
    hasEnded = true;
    review();
  });
  const until = (kind: OrderLine["kind"]) =>
    new Promise<void>((resolve, reject) => {
      const waiter = () => {
        if (lines.some((line) => line.kind === kind)) resolve();
        else if (hasEnded) reject(new Error(`The child ended before it printed "${kind}".`));
        else return;
        waiters.delete(waiter);
      };
      waiters.add(waiter);
      waiter();
    });
  await until("joined");
  return { lines, until, signal: (name) => void child.kill(name) };
}
