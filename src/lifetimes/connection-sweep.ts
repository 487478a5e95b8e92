import type { Sessions } from "../core/coordinator.ts";
import type { Store } from "../core/store.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** Dependencies and limits of the sweep of connections. */
export interface ConnectionSweepOptions {
  readonly store: Pick<Store, "lifetimes">;
  readonly agreed: Pick<Sessions, "connected" | "survive">;
  /** Deletes what is bound to a connection. */
  readonly endItems: (connection: string) => Promise<void>;
  /**
   * Pause between two sweeps of a fleet, in milliseconds. Default 15,000. A service of one process
   * sweeps once, at its start.
   */
  readonly intervalMs?: number | undefined;
  /** Notified of failures. A retry, or the next sweep, makes up for them. */
  readonly onProblem: (error: unknown) => void;
}

/** The running sweep of connections. */
export interface ConnectionSweep {
  /** Sweeps now. */
  sweep(): Promise<void>;
  /** Stops, and waits for what is under way. Idempotent. */
  close(): Promise<void>;
}

const DEFAULT_INTERVAL_MS = 15_000;
/** Shortest pause before the failed sweep at the start is retried, in milliseconds. */
const RETRY_MS = 1000;
/** Connections that are looked up at once. */
const PAGE_SIZE = 256;
/**
 * How long a connection of a fleet has to be without a session before its items are deleted, in
 * sweeps: when Redis has lost sessions, processes soon record theirs anew.
 */
const PATIENCE_SWEEPS = 2;

/**
 * Deletes what is bound to connections without a session. Their process was killed after it had
 * ended the session, or the session was lost with the process, or with data of Redis.
 *
 * The items are listed before the sessions. A session is recorded before an item that is bound to
 * its connection is acknowledged, so a connection whose session continues is found.
 */
export function startConnectionSweep(options: ConnectionSweepOptions): ConnectionSweep {
  const { store, agreed, endItems, onProblem, intervalMs = DEFAULT_INTERVAL_MS } = options;
  /** Connections without a session, with the number of consecutive sweeps that found none. */
  let suspects = new Map<string, number>();
  let isClosed = false;
  let timer: Timer | undefined;
  let sweeping: Promise<void> | undefined;

  const withoutSession = async () => {
    const found: string[] = [];
    for (let after: string | undefined; !isClosed; after = found.at(-1)) {
      const page = await store.lifetimes.connections({
        limit: PAGE_SIZE,
        ...(after !== undefined && { after }),
      });
      found.push(...page);
      if (page.length < PAGE_SIZE) break;
    }
    const missing: string[] = [];
    for (let i = 0; i < found.length; i += PAGE_SIZE) {
      const page = found.slice(i, i + PAGE_SIZE);
      const connected = await agreed.connected(page);
      missing.push(...page.filter((connection) => !connected.has(connection)));
    }
    return missing;
  };
  const sweepAll = async () => {
    const patience = agreed.survive ? PATIENCE_SWEEPS : 0;
    const before = suspects;
    const next = new Map<string, number>();
    for (const connection of await withoutSession()) {
      if (isClosed) return;
      const sweeps = before.get(connection) ?? 0;
      next.set(connection, sweeps + 1);
      if (sweeps >= patience) await endItems(connection);
    }
    suspects = next;
  };
  const sweep = () =>
    (sweeping ??= sweepAll().finally(() => {
      sweeping = undefined;
    }));
  const runAndSchedule = async () => {
    let pauseMs = agreed.survive ? intervalMs : Infinity;
    try {
      await sweep();
    } catch (error) {
      onProblem(error);
      pauseMs = Math.min(pauseMs, Math.max(intervalMs, RETRY_MS));
    }
    if (!isClosed && pauseMs !== Infinity)
      timer = startTimer(pauseMs, () => void runAndSchedule()).unref();
  };
  void runAndSchedule();
  return {
    sweep,
    async close() {
      isClosed = true;
      timer?.cancel();
      await sweeping?.catch(() => {});
    },
  };
}
