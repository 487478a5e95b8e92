import type { RedisServers } from "../../redis/redis-servers.ts";
import { DEFAULT_PARTITIONS, layoutKey } from "./keys.ts";
import { RAISE_FORMAT } from "./scripts.ts";

/**
 * The formats of the data, each with records that versions before it would misread: those with
 * authors, those of logs with deltas, and those of idempotency keys. A format is set before the first such record is written, so
 * that processes of earlier versions do not start on such data.
 */
const FORMATS = ["1", "2", "3", "4"] as const;

/** Which records data may contain: those of the format, and of those before it. */
export type Contents = (typeof FORMATS)[number];

/** No records that the first version would misread. */
export const PLAIN: Contents = "1";
/** Records with authors. */
export const AUTHORS: Contents = "2";
/** Logs with deltas. */
export const DELTAS: Contents = "3";
/** Idempotency keys. */
export const KEYS: Contents = "4";

/** The settings of the data that hold for all processes. */
export interface Layout {
  /** Number of partitions with which the data was created. */
  readonly partitions: number;
  /**
   * What a write has to await, if anything: the first one of a format, and those after it, wait
   * until the format of the data says so. They continue in the order of the calls. It rejects with
   * a StreamError when the format cannot be set.
   */
  beforeWrite(contents: Contents): Promise<void> | undefined;
}

/**
 * Reads the layout of the data, or creates it.
 *
 * @throws StreamError STORE_UNAVAILABLE when the server cannot be reached in time; Error when the
 *   data has another format.
 */
export async function openLayout(
  servers: RedisServers,
  prefix: string,
  partitions = DEFAULT_PARTITIONS,
): Promise<Layout> {
  const { tag, key } = layoutKey(prefix);
  // Both are idempotent.
  await servers.send(tag, ["HSETNX", key, "format", PLAIN], "read");
  await servers.send(tag, ["HSETNX", key, "partitions", String(partitions)], "read");
  const reply = await servers.send(tag, ["HMGET", key, "format", "partitions"], "read");
  const [format, count] = (reply as unknown[]).map(String);
  if (!isKnown(format)) {
    throw new Error(
      `The data in Redis under the key prefix ${prefix} has the format ${format}; this version reads ` +
        `${FORMATS.join(", ")}. key_prefix may be another one, for new data.`,
    );
  }
  let reached: Contents = format;
  let raising: { readonly to: Contents; readonly done: Promise<void> } | undefined;
  const raise = async (to: Contents, before: Promise<void> | undefined) => {
    try {
      await before;
      await servers.run(tag, RAISE_FORMAT, [key], [to], "read");
      // Later: the writes that wait are to run before new ones.
      setImmediate(() => {
        reached = to;
        if (raising?.to === to) raising = undefined;
      });
    } catch (error) {
      raising = undefined;
      throw error;
    }
  };
  return {
    partitions: Number(count),
    beforeWrite(contents) {
      if (raising === undefined && contents <= reached) return undefined;
      if (raising === undefined || contents > raising.to)
        raising = { to: contents, done: raise(contents, raising?.done) };
      return raising.done;
    },
  };
}

function isKnown(format: string | undefined): format is Contents {
  return FORMATS.some((known) => known === format);
}
