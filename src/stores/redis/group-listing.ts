import { type GroupKey, groupOfText } from "../../core/names.ts";
import { isPresenceStream } from "../../core/presence-stream.ts";
import type { GroupPage } from "../../core/store.ts";
import { compareUtf8 } from "../../core/text.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { PartitionKeys, RedisKeys } from "./keys.ts";
import { textOf } from "./encoding.ts";

/** Lists groups that hold items, over all partitions: each has its own sorted index. */
export interface GroupListing {
  groups(streamName: string, page: { after?: string; limit: number }): Promise<readonly string[]>;
  allGroups(page: { after?: GroupKey; limit: number }): Promise<GroupPage>;
}

/** The streams of one partition at a version. */
interface KnownStreams {
  readonly version: string;
  readonly names: readonly string[];
}

/** Creates the listing. It uses neither KEYS nor SCAN. */
export function createGroupListing(servers: RedisServers, keys: RedisKeys): GroupListing {
  const partitions = Array.from({ length: keys.partitions }, (_, partition) =>
    keys.ofPartition(partition),
  );
  const known = new Map<string, KnownStreams>();
  /** Number of partitions that have groups of a stream. */
  const counts = new Map<string, number>();

  /** The sorted texts of groups between two bounds. */
  const merged = async (from: string, to: string, limit: number): Promise<readonly string[]> => {
    if (limit <= 0) return [];
    const range = ["BYLEX", "LIMIT", "0", String(limit)];
    const parts = await Promise.all(
      partitions.map(async ({ tag, groups }) => {
        const command = ["ZRANGE", groups, from, to, ...range] as [string, ...string[]];
        return ((await servers.send(tag, command, "read")) as unknown[]).map(String);
      }),
    );
    return parts.flat().sort(compareUtf8).slice(0, limit);
  };

  /** Reads the streams of a partition again if they have changed. */
  const refresh = async ({ tag, state, streams }: PartitionKeys) => {
    const version = textOf(await servers.send(tag, ["HGET", state, "streams"], "read"));
    if (known.get(tag)?.version === version) return;
    const names = ((await servers.send(tag, ["HKEYS", streams], "read")) as unknown[]).map(String);
    for (const name of known.get(tag)?.names ?? []) count(name, -1);
    for (const name of names) count(name, 1);
    known.set(tag, { version, names });
  };
  const count = (name: string, by: number) => {
    // They are never listed.
    if (isPresenceStream(name)) return;
    const left = (counts.get(name) ?? 0) + by;
    if (left > 0) counts.set(name, left);
    else counts.delete(name);
  };

  return {
    async groups(streamName, { after, limit }) {
      const start = `${streamName}\u0000`;
      const from = after === undefined ? `[${start}` : `(${start}${after}`;
      // Names contain no control characters: U+0001 follows all groups of the stream.
      const texts = await merged(from, `(${streamName}\u0001`, limit);
      return texts.map((text) => groupOfText(text).groupId);
    },
    async allGroups({ after, limit }) {
      const from = after === undefined ? "-" : `(${after.streamName}\u0000${after.groupId}`;
      const [texts] = await Promise.all([merged(from, "+", limit), ...partitions.map(refresh)]);
      return { groups: texts.map(groupOfText), streamCount: counts.size };
    },
  };
}
