import { type GroupKey, groupKeyText } from "../../core/names.ts";

/** Number of partitions of new data. */
export const DEFAULT_PARTITIONS = 64;

/** Keys of one group. */
export interface GroupKeys {
  /** Its head. The group's channel has the same name. */
  readonly head: string;
  readonly items: string;
  readonly order: string;
  readonly log: string;
  /** Hash: its idempotency keys. */
  readonly keys: string;
}

/** Keys of one partition. They share a hash tag, so one server of a cluster has all of them. */
export interface PartitionKeys {
  readonly tag: string;
  /** Hash: admitted writers, the lineage and its start, counters, and a version of `streams`. */
  readonly state: string;
  /** String: lost when a copy replaces the data (see lua/lineage.lua). */
  readonly mark: string;
  /** Sorted set: fenced writers, by time. */
  readonly gone: string;
  /** Sorted set: groups that hold items, by their names. */
  readonly groups: string;
  /** Hash: number of such groups by stream. */
  readonly streams: string;
  /** Sorted set: groups to sweep, by time. */
  readonly due: string;
  /** Sorted set: group and item, by the time of its end. */
  readonly lifetimes: string;
  /** Sorted set: connection, group and item, for items that are bound to a connection. */
  readonly bound: string;
  /** Stream: the outbox entries. Its channel has the same name. */
  readonly outbox: string;
  /** Hash: the settled triggers of outbox entries that are kept for others. */
  readonly settled: string;
}

/** All key names of a store. */
export interface RedisKeys {
  readonly partitions: number;
  /** Partition of a group, by its text (see groupKeyText). It never changes. */
  partitionOf(groupText: string): number;
  ofPartition(partition: number): PartitionKeys;
  ofGroup(partition: number, groupText: string): GroupKeys;
}

/** Key of the settings that are fixed when the data is created, and its hash tag. */
export function layoutKey(prefix: string): { readonly tag: string; readonly key: string } {
  const tag = `${prefix}:layout`;
  return { tag, key: `{${tag}}` };
}

/** Names the keys under a prefix. */
export function redisKeys(prefix: string, partitions: number): RedisKeys {
  const all = Array.from({ length: partitions }, (_, partition): PartitionKeys => {
    const tag = `${prefix}:${partition}`;
    const at = (name: string) => `{${tag}}:${name}`;
    return {
      tag,
      state: at("state"),
      mark: at("mark"),
      gone: at("gone"),
      groups: at("groups"),
      streams: at("streams"),
      due: at("due"),
      lifetimes: at("lifetimes"),
      bound: at("bound"),
      outbox: at("outbox"),
      settled: at("settled"),
    };
  });
  return {
    partitions,
    partitionOf: (groupText) => hash(groupText) % partitions,
    ofPartition: (partition) => all[partition] as PartitionKeys,
    ofGroup(partition, groupText) {
      const start = `{${prefix}:${partition}}:`;
      return {
        head: `${start}h:${groupText}`,
        items: `${start}i:${groupText}`,
        order: `${start}o:${groupText}`,
        log: `${start}l:${groupText}`,
        keys: `${start}k:${groupText}`,
      };
    },
  };
}

/** @see groupKeyText */
export const textOfGroup: (group: GroupKey) => string = groupKeyText;

/** FNV-1a over UTF-16 code units, then mixed like MurmurHash3, so all bits count. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
