import type { Sessions } from "../core/coordinator.ts";
import type { Store } from "../core/store.ts";
import { type Timer, sleep, startTimer } from "../timers/timers.ts";

/** Dependencies and limits of the sweep of connections. */
export interface ConnectionSweepOptions {
  readonly store: Pick<Store, "lifetimes">;
  readonly agreed: Pick<Sessions, "connected" | "survive">;
  /** Deletes what is bound to a connection. */
  readonly endItems: (connection: string) => Promise<void>;
  /**
   * Pause between two sweeps of a fleet, in milliseconds. Default 9,000. A service of one process
   * sweeps once, at its start.
   */
  readonly intervalMs?: number | undefined;
  /** Notified of failures. The next sweep, or a retry, makes up for them. */
  readonly onProblem: (error: unknown) => void;
}

/** The running sweep of connections. */
export interface ConnectionSweep {
  /** Sweeps all connections now. */
  sweep(): Promise<void>;
  /** Stops, and waits for what is under way. Idempotent. */
  close(): Promise<void>;
}

const DEFAULT_INTERVAL_MS = 9000;
/**
 * Every seventh sweep lists all connections; the others look up suspects only. So a connection
 * without a session is found within 63 s, and its items are deleted 27 s later.
 */
const LOOKS_PER_LISTING = 7;
/** Shortest pause before a failed sweep is retried, in milliseconds. */
const RETRY_MS = 1000;
/** Connections that are listed, and looked up, at once; either takes about a millisecond. */
const PAGE_SIZE = 1000;
/** Pause after each page, in milliseconds, so that a listing does not delay other work. */
const PAGE_PAUSE_MS = 10;
/**
 * Consecutive sweeps of a fleet that find a connection without a session before the next one deletes
 * its items: when Redis has lost sessions, processes soon record theirs anew.
 */
const PATIENCE_LOOKS = 3;

/**
 * Deletes what is bound to connections without a session. Their process was killed after it had
 * ended the session, or the session was lost with the process, or with data of Redis.
 *
 * The items are listed before the sessions. A session is recorded before an item that is bound to
 * its connection is acknowledged, so a connection whose session continues is found.
 *
 * Each process of a fleet lists the connections of its own partitions. The cost is proportional to
 * their number, also when nothing happens. So listings are rare, and the sweeps in between look up
 * only suspects: connections that were found without a session.
 */
export function startConnectionSweep(options: ConnectionSweepOptions): ConnectionSweep {
  const { store, agreed, endItems, onProblem, intervalMs = DEFAULT_INTERVAL_MS } = options;
  const patience = agreed.survive ? PATIENCE_LOOKS : 0;
  /** Connections without a session, with the number of consecutive sweeps that found none. */
  const suspects = new Map<string, number>();
  const closing = new AbortController();
  const { signal } = closing;
  let timer: Timer | undefined;
  let sweeping: Promise<void> | undefined;
  let last: Promise<void> = Promise.resolve();

  const rest = async () => sleep(PAGE_PAUSE_MS, signal).catch(() => {});
  const reviewSuspects = async () => {
    const all = Array.from(suspects.keys());
    for (let at = 0; at < all.length && !signal.aborted; at += PAGE_SIZE) {
      const page = all.slice(at, at + PAGE_SIZE);
      const connected = await agreed.connected(page);
      for (const connection of page) {
        if (connected.has(connection)) suspects.delete(connection);
        else suspects.set(connection, (suspects.get(connection) ?? 0) + 1);
      }
      await rest();
    }
  };
  const findSuspects = async () => {
    let from: string | undefined;
    do {
      const page = await store.lifetimes.connections({ from, limit: PAGE_SIZE });
      const others = page.connections.filter((connection) => !suspects.has(connection));
      const connected = await agreed.connected(others);
      for (const connection of others) if (!connected.has(connection)) suspects.set(connection, 1);
      from = page.next;
      if (from !== undefined) await rest();
    } while (from !== undefined && !signal.aborted);
  };
  const look = async (lists: boolean) => {
    await reviewSuspects();
    if (lists && !signal.aborted) await findSuspects();
    for (const [connection, looks] of suspects) {
      if (signal.aborted) return;
      if (looks <= patience) continue;
      await endItems(connection);
      suspects.delete(connection);
    }
  };
  /** One look at a time. */
  const lookInTurn = async (lists: boolean): Promise<void> => {
    const looking = last.then(async () => look(lists));
    last = looking.catch(() => {});
    return looking;
  };
  const sweep = () =>
    (sweeping ??= lookInTurn(true).finally(() => {
      sweeping = undefined;
    }));
  const lookAndSchedule = async (n: number) => {
    let pauseMs = agreed.survive ? intervalMs : Infinity;
    let next = n + 1;
    try {
      await (n % LOOKS_PER_LISTING === 0 ? sweep() : lookInTurn(false));
    } catch (error) {
      onProblem(error);
      pauseMs = Math.min(pauseMs, Math.max(intervalMs, RETRY_MS));
      next = n;
    }
    if (!signal.aborted && pauseMs !== Infinity)
      timer = startTimer(pauseMs, () => void lookAndSchedule(next)).unref();
  };
  void lookAndSchedule(0);
  return {
    sweep,
    async close() {
      closing.abort();
      timer?.cancel();
      await last;
    },
  };
}
