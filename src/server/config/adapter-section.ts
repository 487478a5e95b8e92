import * as z from "zod";
import { REDIS_URL_FORMS, parseRedisUrl } from "../../redis/redis-url.ts";
import { DEFAULT_FOLDER } from "../defaults.ts";
import { choice, duration, integer, textKey } from "./key-types.ts";

const embedded = {
  store_method: choice(
    ["file_based", "in_memory"],
    "Whether the embedded store is on disk, or in memory and lost when the process ends.",
  ).prefault("file_based"),
  file_path: textKey(
    /\S/,
    "the path of a folder",
    "Data folder, for `file_based`; relative to the working directory, created when missing.",
  ).prefault(DEFAULT_FOLDER),
};

const redis = {
  redis_url: textKey(
    /^rediss?(?:\+(?:sentinel|cluster))?:\/\/./,
    REDIS_URL_FORMS,
    "URL of Redis. It may hold a password, so it is never shown.",
    { secret: true, accepts: isRedisUrl },
  ).prefault("redis://127.0.0.1:6379"),
  key_prefix: textKey(
    /^[A-Za-z0-9_.:-]{1,64}$/,
    "1 to 64 characters, each a letter from a to z, a digit or one of `_`, `-`, `.` and `:`",
    "Prefix of all keys in Redis. Services that share a Redis need different prefixes.",
  ).prefault("millrace"),
  min_replicas: integer(
    0,
    10,
    "Number of Redis replicas that must have a write before it is acknowledged.",
  ).prefault(0),
  redis_timeout: duration(
    "100ms",
    "1m",
    "How long Redis may take to reply, or be unreachable, before a call fails.",
  ).prefault("5s"),
};

/** The keys of `adapter.config` for each adapter. */
const CONFIGS = { kv: embedded, redis };

/** The section `adapter`: where data is stored. */
export const ADAPTER = z
  .strictObject({
    name: choice(
      ["kv", "redis"],
      "Where data is stored: `kv` is the embedded store of one process, `redis` is Redis, for any number of processes.",
    ).prefault("kv"),
    config: z.strictObject({ ...embedded, ...redis }).prefault({}),
  })
  .prefault({});

/** The adapter that a key is specific to; undefined when it applies to all. */
export function adapterFor(path: readonly PropertyKey[]): string | undefined {
  const [section, config, name = ""] = path;
  if (section !== "adapter" || config !== "config") return undefined;
  return Object.entries(CONFIGS).find(([, keys]) => Object.hasOwn(keys, name))?.[0];
}

function isRedisUrl(given: string): boolean {
  try {
    parseRedisUrl(given);
    return true;
  } catch {
    return false;
  }
}
