import { randomBytes, timingSafeEqual } from "node:crypto";
import type { WorkerHoldings, WorkerSession } from "./worker-session.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** Identifies a worker's connection, with a token that later proves the worker's identity. */
export interface WorkerIdentity {
  readonly workerId: string;
  readonly reattachToken: string;
}

/** A worker in listings. */
export interface WorkerInfo {
  readonly workerId: string;
  /** Its name. */
  name: string;
  /** Its metadata: JSON text. */
  metadata: string | undefined;
}

/** All workers of this process, including recently disconnected ones. */
export interface WorkerDirectory {
  /** Adds a connection. `end` closes it. */
  enter(session: WorkerSession, end: () => void): WorkerIdentity & { readonly info: WorkerInfo };
  /**
   * Moves the registrations of an earlier connection to a new one, and ends the earlier one if it
   * is still open. Does nothing when there was none, or the token is wrong.
   */
  reattach(previous: WorkerIdentity, session: WorkerSession): Promise<void>;
  /** Removes a connection; its registrations are kept for a while. */
  leave(workerId: string): void;
  /** The connected workers. */
  list(): readonly WorkerInfo[];
  /** Ends all connections. */
  close(): void;
}

interface Entry {
  readonly token: string;
  readonly session: WorkerSession;
  readonly info: WorkerInfo;
  readonly end: () => void;
  /** Its registrations when it disconnected. */
  left: WorkerHoldings | undefined;
  timer: Timer | undefined;
}

/** @param reattachMs How long registrations of a disconnected worker are kept, in milliseconds. */
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
      // Registered here before it ends there, so there is always a provider.
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
