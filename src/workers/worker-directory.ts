import { randomBytes, timingSafeEqual } from "node:crypto";
import type { WorkerHoldings, WorkerSession } from "./worker-session.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** Names a connection of a worker, and proves later that it was this worker. */
export interface WorkerIdentity {
  readonly workerId: string;
  readonly reattachToken: string;
}

/** A worker, for whoever looks. */
export interface WorkerInfo {
  readonly workerId: string;
  /** What it calls itself. */
  name: string;
  /** What else it says of itself: JSON text. */
  metadata: string | undefined;
}

/** All workers of this process, and for a while those that have gone. */
export interface WorkerDirectory {
  /** Takes in a new connection. `end` cuts it. */
  enter(session: WorkerSession, end: () => void): WorkerIdentity & { readonly info: WorkerInfo };
  /**
   * Moves what an earlier connection had to a new one, and ends the earlier one if it is still there.
   * Does nothing when there was none, or the token is not its own.
   */
  reattach(previous: WorkerIdentity, session: WorkerSession): Promise<void>;
  /** A connection has ended: what it had is remembered for a while. */
  leave(workerId: string): void;
  /** Workers that are connected. */
  list(): readonly WorkerInfo[];
  /** Ends all. */
  close(): void;
}

interface Entry {
  readonly token: string;
  readonly session: WorkerSession;
  readonly info: WorkerInfo;
  readonly end: () => void;
  /** What it had when it went. */
  left: WorkerHoldings | undefined;
  timer: Timer | undefined;
}

/** Nobody is connected. @param reattachMs How long what a worker had is remembered, in milliseconds. */
export function createWorkerDirectory(reattachMs: number): WorkerDirectory {
  const entries = new Map<string, Entry>();
  return {
    enter(session, end) {
      const workerId = randomBytes(9).toString("base64url");
      const token = randomBytes(32).toString("base64url");
      const info: WorkerInfo = { workerId, name: "", metadata: undefined };
      entries.set(workerId, { token, session, info, end, left: undefined, timer: undefined });
      return { workerId, reattachToken: token, info };
    },
    async reattach({ workerId, reattachToken }, session) {
      const entry = entries.get(workerId);
      if (entry === undefined || entry.session === session) return;
      if (!isSameToken(entry.token, reattachToken)) return;
      entries.delete(workerId);
      entry.timer?.cancel();
      // Registered here before it ends there: there is no moment without a provider.
      const adopted = session.adopt(entry.left ?? entry.session.holdings);
      entry.session.close();
      entry.end();
      await adopted;
    },
    leave(workerId) {
      const entry = entries.get(workerId);
      if (entry === undefined || entry.left !== undefined) return;
      entry.left = entry.session.holdings;
      entry.timer = startTimer(reattachMs, () => entries.delete(workerId)).unref();
    },
    list: () =>
      Array.from(entries.values())
        .filter(({ left }) => left === undefined)
        .map(({ info }) => info),
    close() {
      for (const { end, timer } of entries.values()) {
        timer?.cancel();
        end();
      }
      entries.clear();
    },
  };
}

function isSameToken(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
