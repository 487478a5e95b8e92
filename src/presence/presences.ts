import { type GroupKey, groupKeyText } from "../core/names.ts";
import { isPresenceStream } from "../core/presence-stream.ts";
import type { Store } from "../core/store.ts";
import type { SubscriberPresence } from "../core/subscriber-presence.ts";
import { startTimer } from "../timers/timers.ts";
import {
  type PresentConnection,
  PresentItem,
  type PresentItemOptions,
  type Shown,
} from "./present-item.ts";

/** Dependencies of presences. */
export interface PresencesOptions extends Omit<PresentItemOptions, "isClosed"> {
  readonly store: Pick<Store, "run" | "get" | "lifetimes">;
  /** How long a client that comes back may take to announce itself again, in milliseconds. */
  readonly timeoutMs: number;
}

/** The presence of the connections that this process holds. */
export interface Presences {
  /**
   * Shows a connection in a group of presence, on behalf of one of its subscriptions. Resolves when
   * the item is stored. A connection has one item per group. It shows the latest announcement of a
   * subscription that has not ended, and is deleted with the last one, or with the connection.
   *
   * @throws StreamError when the store failed. Then nothing is announced.
   */
  announce(
    group: GroupKey,
    connection: PresentConnection,
    shown: Shown,
  ): Promise<SubscriberPresence>;
  /**
   * The client of a connection has come back. Changes that waited for it are stored, and items that
   * another process stored are deleted unless it announces itself again in time.
   */
  resume(connection: PresentConnection): void;
  /** What was stored for these connections may have been lost: it is looked up, and stored again. */
  check(connections: readonly PresentConnection[]): void;
  /** Stops. Items stay as they are. */
  close(): void;
}

/** Items of a connection that are looked up, unless it has more. */
const FEW_ITEMS = 1000;
/** How many more are looked up then. */
const MORE_ITEMS = 8;
/** How many items are checked at once: a process may have those of many thousands of connections. */
const CHECKED_AT_ONCE = 50;
/** Pause before the items of a connection are read again after the store failed, in milliseconds. */
const RETRY_MS = 1000;

/** Creates the presence of a process. */
export function createPresences(options: PresencesOptions): Presences {
  const { store, timeoutMs, onProblem } = options;
  /** The items of each connection, by their groups. */
  const itemsOf = new WeakMap<PresentConnection, Map<string, PresentItem>>();
  let isClosed = false;
  const itemOptions: PresentItemOptions = { ...options, isClosed: () => isClosed };

  const itemOf = (connection: PresentConnection, group: GroupKey): PresentItem => {
    const items = itemsOf.get(connection) ?? new Map<string, PresentItem>();
    itemsOf.set(connection, items);
    const key = groupKeyText(group);
    const onIdle = () => items.delete(key);
    const item = items.get(key) ?? new PresentItem(itemOptions, group, connection, onIdle);
    items.set(key, item);
    return item;
  };

  /** All items of a connection: those of presence may be among many others. */
  const boundTo = async ({ connectionId }: PresentConnection) => {
    for (let limit = FEW_ITEMS; ; limit *= MORE_ITEMS) {
      const bound = await store.lifetimes.boundTo(connectionId, limit);
      if (bound.length < limit) return bound;
    }
  };
  /** Deletes the items of a connection that were not announced again. */
  const sweep = async (connection: PresentConnection) => {
    try {
      for (const { group } of await boundTo(connection))
        if (isPresenceStream(group.streamName)) void itemOf(connection, group).settleLater();
    } catch (error) {
      onProblem(error);
      schedule(connection, RETRY_MS);
    }
  };
  const schedule = (connection: PresentConnection, ms: number) => {
    startTimer(ms, () => {
      if (!connection.isOver && !isClosed) void sweep(connection);
    }).unref();
  };

  const checkAll = async (connections: readonly PresentConnection[]) => {
    const items = connections.flatMap((each) => Array.from(itemsOf.get(each)?.values() ?? []));
    for (let i = 0; i < items.length && !isClosed; i += CHECKED_AT_ONCE)
      await Promise.all(items.slice(i, i + CHECKED_AT_ONCE).map((item) => item.check()));
  };

  return {
    async announce(group, connection, { data: first, user, author }) {
      const item = itemOf(connection, group);
      let hasLeft = false;
      const show = (data: Shown["data"]) => item.show(presence, { data, user, author });
      const presence: SubscriberPresence = {
        change(data) {
          if (hasLeft) return;
          show(data);
          void item.settleLater();
        },
        leave() {
          hasLeft = true;
          item.withdraw(presence);
        },
      };
      show(first);
      try {
        await item.settle();
      } catch (error) {
        presence.leave();
        throw error;
      }
      return presence;
    },
    resume(connection) {
      for (const item of itemsOf.get(connection)?.values() ?? []) void item.settleLater();
      if (connection.isBoundElsewhere) schedule(connection, timeoutMs);
    },
    check: (connections) => void checkAll(connections),
    close() {
      isClosed = true;
    },
  };
}
