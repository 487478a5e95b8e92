import type { ExpiredItem, ItemName, Lifetimes } from "../../core/lifetime.ts";
import { groupKeyText, groupOfText } from "../../core/names.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import { BoundLookup } from "./bound-lookup.ts";
import { textOf } from "./encoding.ts";
import type { RedisKeys } from "./keys.ts";
import { BOUND, EXPIRED } from "./scripts.ts";

/** Fewest items that are read per partition. */
const SPARE = 8;

/** Dependencies of the lifetimes in Redis. */
export interface RedisLifetimesOptions {
  readonly servers: RedisServers;
  readonly keys: RedisKeys;
  /** Wall clock, Unix milliseconds. Undefined: that of the server. */
  readonly clock: (() => number) | undefined;
  /** Whether this process is responsible for a partition. */
  readonly owns: (partition: number) => boolean;
  /** @throws StreamError STORE_UNAVAILABLE once the store is closed. */
  readonly assertOpen: () => void;
}

/** Reads the indexes of items with a lifetime, all partitions at once. */
export function createRedisLifetimes(options: RedisLifetimesOptions): Lifetimes {
  const { servers, keys, clock, owns, assertOpen } = options;
  const all = Array.from({ length: keys.partitions }, (_, partition) => partition);

  const lookup = new BoundLookup(servers, keys);
  /** Some of the connections that a partition's items are bound to, after one. */
  const connectionsIn = async (partition: number, after: string, limit: number) => {
    const { tag, bound: key } = keys.ofPartition(partition);
    const args = [after === "" ? "-" : beyond(after), String(limit)];
    const reply = (await servers.run(tag, BOUND, [key], args, "read")) as readonly unknown[];
    return { hasMore: reply[0] === 1, found: reply.slice(1).map(textOf) };
  };

  const expiredIn = async (partition: number, time: string, limit: number) => {
    const { tag, lifetimes } = keys.ofPartition(partition);
    const reply = await servers.run(tag, EXPIRED, [lifetimes], [time, String(limit)], "read");
    return expiredFrom((reply as unknown[]).map(textOf));
  };

  return {
    async expired(limit) {
      assertOpen();
      const owned = all.filter(owns);
      // With many partitions, each has only a part of the next items.
      const share = Math.min(limit, SPARE + Math.ceil((2 * limit) / owned.length));
      const time = clock === undefined ? "" : String(clock());
      const parts = await Promise.allSettled(owned.map((each) => expiredIn(each, time, share)));
      const found = parts.flatMap((part) => (part.status === "fulfilled" ? part.value : []));
      const failed = parts.find((part) => part.status === "rejected");
      // A server that fails does not hold back the items of others.
      if (failed !== undefined && found.length === 0) throw failed.reason;
      const certainMs = Math.min(...parts.map((part) => certainUntil(part, share)));
      return found
        .filter(({ expireTimeMs }) => expireTimeMs <= certainMs)
        .sort((one, other) => one.expireTimeMs - other.expireTimeMs)
        .slice(0, limit);
    },
    async boundTo(connection, limit, within) {
      assertOpen();
      const partitions =
        within === undefined
          ? all
          : new Set(within.map((group) => keys.partitionOf(groupKeyText(group))));
      const start = `${connection}\u0000`;
      const parts = Array.from(partitions, (partition) =>
        lookup.find(partition, { from: `[${start}`, to: beyond(connection), limit }),
      );
      const members = (await Promise.all(parts)).flat().slice(0, limit);
      return members.map((member) => itemOf(member.slice(start.length)));
    },
    // One partition after the other: each member of an index is read once.
    async connections({ from = "", limit }) {
      assertOpen();
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

/** The time up to which a partition listed all that has expired: it may have more after its last. */
function certainUntil(part: PromiseSettledResult<readonly ExpiredItem[]>, limit: number): number {
  if (part.status === "rejected" || part.value.length < limit) return Infinity;
  return part.value.at(-1)?.expireTimeMs ?? Infinity;
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
