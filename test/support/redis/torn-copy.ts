import type { GroupKey } from "../../../src/core/names.ts";
import { redisKeys, textOfGroup } from "../../../src/stores/redis/keys.ts";
import type { RedisProcess } from "./redis-server.ts";

/** Names of the keys of one group and of its partition, of a store with one partition. */
export type KeyName =
  | ("state" | "mark" | "groups" | "streams" | "due" | "outbox")
  | ("head" | "items" | "order" | "log")
  | ("lifetimes" | "bound");

/** The keys that a copy of a group consists of. The mark is never part of it. */
export const COPIED_KEYS: readonly KeyName[] = [
  ...(["state", "groups", "streams", "due", "outbox"] as const),
  ...(["head", "items", "order", "log"] as const),
  ...(["lifetimes", "bound"] as const),
];

/** Copies of the keys of one group, each of which can be restored by itself. */
export interface KeyCopies {
  /** Name of a key in Redis. */
  keyOf(name: KeyName): string;
  /** Takes a copy of all keys, under a label. */
  take(label: string): Promise<void>;
  /** Restores keys from the copy with a label. */
  restore(label: string, names?: readonly KeyName[]): Promise<void>;
  /** Removes keys. */
  remove(names: readonly KeyName[]): Promise<void>;
  /** Removes all keys, as FLUSHALL does before a restore. */
  flush(): Promise<void>;
}

/** The copies of a group of the store with this prefix, which has one partition. */
export function keyCopies(redis: RedisProcess, prefix: string, group: GroupKey): KeyCopies {
  const keys = redisKeys(prefix, 1);
  const all = { ...keys.ofPartition(0), ...keys.ofGroup(0, textOfGroup(group)) };
  const keyOf = (name: KeyName) => all[name];
  const copyOf = (name: KeyName, label: string) => `{${prefix}:0}:${label}:${name}`;
  const remove = async (names: readonly KeyName[]) => {
    if (names.length > 0) await redis.command("DEL", ...names.map(keyOf));
  };
  return {
    keyOf,
    remove,
    flush: async () => remove([...COPIED_KEYS, "mark"]),
    async take(label) {
      for (const name of COPIED_KEYS)
        await redis.command("COPY", keyOf(name), copyOf(name, label), "REPLACE");
    },
    async restore(label, names = COPIED_KEYS) {
      for (const name of names) {
        const copied = await redis.command("COPY", copyOf(name, label), keyOf(name), "REPLACE");
        if (copied === 0) await remove([name]);
      }
    },
  };
}
