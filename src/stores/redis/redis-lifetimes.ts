import type { ExpiredItem, ItemName, Lifetimes } from "../../core/lifetime.ts";
import { groupKeyText, groupOfText } from "../../core/names.ts";
import { compareUtf8 } from "../../core/text.ts";
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
  /** The connections after one that items of a partition are bound to. */
  const connectionsIn = async (partition: number, after: string | undefined, limit: number) => {
    const { tag, bound: key } = keys.ofPartition(partition);
    const args = [after === undefined ? "-" : beyond(after), String(limit)];
    const reply = await servers.run(tag, BOUND, [key], args, "read");
    return (reply as unknown[]).map(textOf);
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
    async connections({ after, limit }) {
      assertOpen();
      const parts = all
        .filter(owns)
        .map(async (partition) => connectionsIn(partition, after, limit));
      const found = new Set((await Promise.all(parts)).flat());
      return Array.from(found).sort(compareUtf8).slice(0, limit);
    },
  };
}

/** The time up to which a partition listed all that has expired: it may have more after its last. */
function certainUntil(part: PromiseSettledResult<readonly ExpiredItem[]>, limit: number): number {
  if (part.status === "rejected" || part.value.length < limit) return Infinity;
  return part.value.at(-1)?.expireTimeMs ?? Infinity;
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
