import type { Lifetimes } from "../core/lifetime.ts";
import { type GroupKey, groupKeyText } from "../core/names.ts";
import { isPresenceStream } from "../core/presence-stream.ts";
import type { SubscriberPresence } from "../core/subscriber-presence.ts";
import { type Timer, startTimer } from "../timers/timers.ts";
import { type ItemOptions, PresentItem, type Shown } from "./present-item.ts";

/** Dependencies of presences. */
export interface PresencesOptions extends ItemOptions {
  readonly lifetimes: Pick<Lifetimes, "boundTo">;
  /** How long a client that comes back may take to announce itself again, in milliseconds. */
  readonly timeoutMs: number;
}

/** A connection that announces itself. */
export interface Announcer extends Omit<Shown, "data"> {
  readonly connectionId: string;
}

/** The presence of the connections that this process holds. */
export interface Presences {
  /**
   * Shows a connection in a group of presence, on behalf of one of its subscriptions. Resolves when
   * the item is stored. A connection has one item per group: it shows the latest announcement, that
   * before when its subscription has ended, and goes after the last one.
   *
   * @throws StreamError when the store failed. Then nothing is announced.
   */
  announce(group: GroupKey, announcer: Announcer, data: Shown["data"]): Promise<SubscriberPresence>;
  /** This process has a connection from now on that was another's, which may have stored items. */
  adopt(connectionId: string): void;
  /**
   * The client of a connection has come back. Items that another process stored are deleted unless
   * it announces itself again in time.
   */
  resume(connectionId: string): void;
  /** Deletes the items of a connection, because it is over. */
  end(connectionId: string): void;
  /** Another process has a connection from now on. Its items stay. */
  drop(connectionId: string): void;
  /** Stops, and waits for what is under way. Items stay as they are. */
  close(): Promise<void>;
}

/** Most items of a connection that are read at once. */
const MAX_ITEMS = 1000;
/** Pause before the items of a connection are read again after the store failed, in milliseconds. */
const RETRY_MS = 1000;

/** The items of one connection, by their groups. */
interface PresentConnection {
  readonly items: Map<string, PresentItem>;
  /** Whether another process may have stored items. */
  isAdopted: boolean;
  /** Deletes what another process stored. */
  sweep?: Timer | undefined;
}

/** Creates the presence of a process. */
export function createPresences(options: PresencesOptions): Presences {
  const { lifetimes, timeoutMs, onProblem } = options;
  const connections = new Map<string, PresentConnection>();
  /** Items of connections that are over, until they are deleted. */
  const ending = new Set<PresentItem>();
  let isClosed = false;

  const connectionOf = (connectionId: string): PresentConnection => {
    let connection = connections.get(connectionId);
    if (connection === undefined)
      connections.set(connectionId, (connection = { items: new Map(), isAdopted: false }));
    return connection;
  };
  const itemOf = (connectionId: string, group: GroupKey): PresentItem => {
    const { items, isAdopted } = connectionOf(connectionId);
    const key = groupKeyText(group);
    const known = items.get(key);
    if (known !== undefined) return known;
    const item = new PresentItem(options, group, connectionId, {
      isKnown: !isAdopted,
      onIdle() {
        ending.delete(item);
        const connection = connections.get(connectionId);
        if (connection?.items.get(key) !== item) return;
        connection.items.delete(key);
        if (connection.items.size === 0 && !connection.isAdopted) connections.delete(connectionId);
      },
    });
    items.set(key, item);
    return item;
  };

  /** Deletes the items of a connection that nobody has announced again. */
  const sweep = async (connectionId: string) => {
    const connection = connections.get(connectionId);
    try {
      const bound = await lifetimes.boundTo(connectionId, MAX_ITEMS);
      if (isClosed || connections.get(connectionId) !== connection) return;
      const groups = bound
        .filter(({ group }) => isPresenceStream(group.streamName))
        .map(({ group }) => group);
      for (const group of groups) itemOf(connectionId, group).settleLater();
    } catch (error) {
      onProblem(error);
      schedule(connectionId, RETRY_MS);
    }
  };
  const schedule = (connectionId: string, ms: number) => {
    const connection = connections.get(connectionId);
    if (connection === undefined || isClosed) return;
    connection.sweep?.cancel();
    connection.sweep = startTimer(ms, () => void sweep(connectionId)).unref();
  };
  const take = (connectionId: string): readonly PresentItem[] => {
    const connection = connections.get(connectionId);
    connections.delete(connectionId);
    connection?.sweep?.cancel();
    return Array.from(connection?.items.values() ?? []);
  };

  return {
    async announce(group, { connectionId, user, author }, data) {
      const item = itemOf(connectionId, group);
      let hasLeft = false;
      const presence: SubscriberPresence = {
        change(changed) {
          if (hasLeft) return;
          item.show(presence, { data: changed, user, author });
          item.settleLater();
        },
        leave() {
          hasLeft = true;
          item.withdraw(presence);
        },
      };
      item.show(presence, { data, user, author });
      try {
        await item.settle();
      } catch (error) {
        presence.leave();
        throw error;
      }
      return presence;
    },
    adopt(connectionId) {
      connectionOf(connectionId).isAdopted = true;
    },
    resume(connectionId) {
      if (connections.get(connectionId)?.isAdopted === true) schedule(connectionId, timeoutMs);
    },
    end(connectionId) {
      for (const item of take(connectionId)) {
        ending.add(item);
        item.end();
      }
    },
    drop(connectionId) {
      for (const item of take(connectionId)) item.drop();
    },
    async close() {
      isClosed = true;
      const items = [
        ...ending,
        ...Array.from(connections.keys()).flatMap((connectionId) => take(connectionId)),
      ];
      for (const item of items) item.drop();
      await Promise.all(items.map((item) => item.whenQuiet()));
    },
  };
}
