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
  readonly info: WorkerInfo;
  state: Connected | Left;
}

interface Connected {
  readonly kind: "connected";
  readonly session: WorkerSession;
  /** Closes the connection. */
  readonly end: () => void;
}

/** After a worker has disconnected. Nothing here refers to its connection, which may have buffered megabytes. */
interface Left {
  readonly kind: "left";
  /** Its registrations when it disconnected. */
  readonly holdings: WorkerHoldings;
  /** Ends the time in which it may come back. */
  readonly timer: Timer;
}

/** @param reattachMs How long registrations of a disconnected worker are kept, in milliseconds. */
export function createWorkerDirectory(reattachMs: number): WorkerDirectory {
  const entries = new Map<string, Entry>();
  return {
    enter(session, end) {
      const workerId = randomBytes(9).toString("base64url");
      const token = randomBytes(32).toString("base64url");
      const info: WorkerInfo = { workerId, name: "", metadata: undefined };
      entries.set(workerId, { token, info, state: { kind: "connected", session, end } });
      return { workerId, reattachToken: token, info };
    },
    async reattach({ workerId, reattachToken }, session) {
      const entry = entries.get(workerId);
      if (entry === undefined || !isSameToken(entry.token, reattachToken)) return;
      const { state } = entry;
      if (state.kind === "left") {
        entries.delete(workerId);
        state.timer.cancel();
        return session.adopt(state.holdings);
      }
      if (state.session === session) return;
      entries.delete(workerId);
      // Registered here before it ends there, so there is always a provider.
      const adopted = session.adopt(state.session.holdings);
      state.session.close();
      state.end();
      await adopted;
    },
    leave(workerId) {
      const entry = entries.get(workerId);
      if (entry?.state.kind !== "connected") return;
      const { holdings } = entry.state.session;
      const timer = startTimer(reattachMs, () => entries.delete(workerId)).unref();
      entry.state = { kind: "left", holdings, timer };
    },
    list: () =>
      Array.from(entries.values())
        .filter(({ state }) => state.kind === "connected")
        .map(({ info }) => info),
    close() {
      for (const { state } of entries.values()) {
        if (state.kind === "left") state.timer.cancel();
        else state.end();
      }
      entries.clear();
    },
  };
}

function isSameToken(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
