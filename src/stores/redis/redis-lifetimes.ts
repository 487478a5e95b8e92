import type { ExpiredItem, ItemName, Lifetimes } from "../../core/lifetime.ts";
import { type GroupKey, groupKeyText } from "../../core/names.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import { textOf } from "./encoding.ts";
import { type RedisKeys, groupOfText } from "./keys.ts";
import { BOUND, BOUND_TO, EXPIRED } from "./scripts.ts";
import { sharedReads } from "./shared-reads.ts";

/** Dependencies of the lifetimes in Redis. */
export interface RedisLifetimesOptions {
  readonly servers: RedisServers;
  readonly keys: RedisKeys;
  /** Wall clock, Unix milliseconds. Undefined: that of the server. */
  readonly clock: (() => number) | undefined;
  /** Whether this process is responsible for a partition. */
  readonly owns: (partition: number) => boolean;
}

/** The connections whose items are read by one command per partition: it takes 0.2 ms. */
const CONNECTIONS_AT_ONCE = 100;

/** The items of a connection that are wanted. */
interface BoundTo {
  readonly connection: string;
  readonly limit: number;
}

/** Reads the indexes of items that go by themselves, all partitions at once. */
export function createRedisLifetimes(options: RedisLifetimesOptions): Lifetimes {
  const { servers, keys, clock, owns } = options;
  const all = Array.from({ length: keys.partitions }, (_, partition) => partition);

  /** Members of the index of bound items, for each of some connections. */
  const boundIn = async (partitions: Iterable<number>, wanted: readonly BoundTo[]) => {
    const most = Math.max(...wanted.map(({ limit }) => limit));
    const args = [String(most), ...wanted.map(({ connection }) => connection)];
    const found = wanted.map((): string[] => []);
    const parts = Array.from(partitions, async (partition) => {
      const { tag, bound: key } = keys.ofPartition(partition);
      const reply = (await servers.run(tag, BOUND_TO, [key], args, "read")) as readonly unknown[];
      for (let i = 0; i + 1 < reply.length; i += 2)
        found[reply[i] as number]?.push(...(reply[i + 1] as unknown[]).map(textOf));
    });
    await Promise.all(parts);
    return found.map((members, i) => members.slice(0, wanted[i]?.limit));
  };
  // When a process was killed, thousands of connections may end at once.
  const boundAnywhere = sharedReads(CONNECTIONS_AT_ONCE, async (wanted: readonly BoundTo[]) =>
    boundIn(all, wanted),
  );
  /** Some of the connections that a partition's items are bound to, after one. */
  const connectionsIn = async (partition: number, after: string, limit: number) => {
    const { tag, bound: key } = keys.ofPartition(partition);
    const args = [after === "" ? "-" : beyond(after), String(limit)];
    const reply = (await servers.run(tag, BOUND, [key], args, "read")) as readonly unknown[];
    return { hasMore: reply[0] === 1, found: reply.slice(1).map(textOf) };
  };

  return {
    async expired(limit) {
      const time = clock === undefined ? "" : String(clock());
      const parts = all.filter(owns).map(async (partition) => {
        const { tag, lifetimes } = keys.ofPartition(partition);
        const reply = await servers.run(tag, EXPIRED, [lifetimes], [time, String(limit)], "read");
        return expiredFrom((reply as unknown[]).map(textOf));
      });
      const found = (await Promise.all(parts)).flat();
      return found.sort((a, b) => a.expireTimeMs - b.expireTimeMs).slice(0, limit);
    },
    async boundTo(connection, limit, within) {
      const wanted = { connection, limit };
      const partitionsOf = (groups: readonly GroupKey[]) =>
        new Set(groups.map((group) => keys.partitionOf(groupKeyText(group))));
      const members =
        within === undefined
          ? await boundAnywhere(wanted)
          : (await boundIn(partitionsOf(within), [wanted])).flat();
      return members.map((member) => itemOf(member.slice(connection.length + 1)));
    },
    // One partition after the other: each member of an index is read once.
    async connections({ from = "", limit }) {
      const connections = new Set<string>();
      let [partition, after] = placeOf(from);
      while (partition < keys.partitions && connections.size < limit) {
        const isOwned = owns(partition);
        const { hasMore, found } = isOwned
          ? await connectionsIn(partition, after, limit - connections.size)
          : NOTHING;
        for (const connection of found) connections.add(connection);
        [partition, after] = hasMore ? [partition, found.at(-1) ?? ""] : [partition + 1, ""];
      }
      const next = partition < keys.partitions ? `${partition} ${after}` : undefined;
      return { connections: Array.from(connections), next };
    },
  };
}

const NOTHING = { hasMore: false, found: [] } as const;

/** The partition, and the connection in it, that a page begins after. */
function placeOf(from: string): [partition: number, after: string] {
  const at = from.indexOf(" ");
  return at < 0 ? [0, ""] : [Number(from.slice(0, at)), from.slice(at + 1)];
}

/** A bound after every member of a connection. Neither ids nor names contain control characters. */
function beyond(connection: string): string {
  return `(${connection}\u0001`;
}

function expiredFrom(reply: readonly string[]): ExpiredItem[] {
  return Array.from({ length: reply.length / 2 }, (_, i) => ({
    ...itemOf(reply[2 * i] as string),
    expireTimeMs: Number(reply[2 * i + 1]),
  }));
}

function itemOf(text: string): ItemName {
  const at = text.lastIndexOf("\u0000");
  return { group: groupOfText(text.slice(0, at)), itemId: text.slice(at + 1) };
}
