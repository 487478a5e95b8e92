import type { SessionConnection } from "../core/connection.ts";
import type { Orders, SessionRecord, Sessions } from "../core/coordinator.ts";
import { Fifo } from "../core/fifo.ts";
import { sleep } from "../timers/timers.ts";
import { BoundConnection, type BoundConnectionOptions } from "./bound-connection.ts";
import { endBoundItems } from "./bound-items.ts";
import { startConnectionSweep } from "./connection-sweep.ts";
import type { EndingOptions } from "./item-ends.ts";

/** Dependencies and limits of connections. */
export interface ConnectionsOptions extends EndingOptions {
  readonly agreed: Pick<Sessions, "bind" | "connected" | "isHeld" | "survive">;
  readonly orders: Pick<Orders, "onLapse">;
  /** Notified of failures in the background, which are retried. */
  readonly onProblem: (error: unknown) => void;
  /** @see ConnectionSweepOptions */
  readonly sweepIntervalMs?: number | undefined;
}

/** The connections of a process that items can be bound to. */
export interface Connections {
  /** Opens the connection of a session that this process holds from now on. */
  open(session: SessionRecord): SessionConnection;
  /** Stops, and waits for the ends of connections under way. Idempotent. */
  close(): Promise<void>;
}

/** Most ends of connections at once: a killed process may leave thousands. */
const MAX_ENDS_AT_ONCE = 128;
/** Pause before a failed end of a connection is retried, in milliseconds. */
const RETRY_MS = 1000;

/** Creates the connections of a process, and begins to sweep. */
export function createConnections(options: ConnectionsOptions): Connections {
  const { agreed, orders, onProblem } = options;
  const closing = new AbortController();
  const underWay = new Set<Promise<void>>();
  const waiting = new Fifo<() => void>();
  let running = 0;
  const bound = new Set<BoundConnection>();
  const untilDone = async (work: () => Promise<void>) => {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        onProblem(error);
        // The next start, or another process of the fleet, deletes the rest.
        if (closing.signal.aborted) return;
        await sleep(RETRY_MS, closing.signal).catch(() => {});
      }
    }
  };
  const inTurn = async (after: Promise<void>, work: () => Promise<void>) => {
    await after;
    if (running >= MAX_ENDS_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      await untilDone(work);
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
  const insist: BoundConnectionOptions["insist"] = (after, work) => {
    const end = inTurn(after, work).finally(() => underWay.delete(end));
    underWay.add(end);
  };
  const endItems = async (
    connection: string,
    within?: Parameters<typeof endBoundItems>[2],
  ): Promise<void> => endBoundItems(connection, options, within);
  // Other processes may adopt the sessions, end them, and delete what is bound to them.
  const unwatch = orders.onLapse(() => {
    for (const connection of Array.from(bound)) connection.lapse();
  });
  const sweep = startConnectionSweep({ ...options, endItems, intervalMs: options.sweepIntervalMs });
  return {
    open: (session) => new BoundConnection(session, { agreed, endItems, insist, bound }),
    async close() {
      closing.abort();
      unwatch();
      await sweep.close();
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}
