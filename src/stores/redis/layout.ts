import {
  DATA_FORMATS,
  type DataFormat,
  KNOWN_FORMATS,
  isKnownFormat,
} from "../../core/data-format.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import { DEFAULT_PARTITIONS, layoutKey } from "./keys.ts";
import { RAISE_FORMAT } from "./scripts.ts";

/** The settings of the data that hold for all processes. */
export interface Layout {
  /** Number of partitions with which the data was created. */
  readonly partitions: number;
  /**
   * What a write has to await, if anything: the first one of a format, and those after it, wait
   * until the format of the data says so. They continue in the order of the calls. It rejects with
   * a StreamError when the format cannot be set.
   */
  beforeWrite(needed: DataFormat): Promise<void> | undefined;
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
  await servers.send(tag, ["HSETNX", key, "format", DATA_FORMATS.plain], "read");
  await servers.send(tag, ["HSETNX", key, "partitions", String(partitions)], "read");
  const reply = await servers.send(tag, ["HMGET", key, "format", "partitions"], "read");
  const [format, count] = (reply as unknown[]).map(String);
  if (!isKnownFormat(format)) {
    throw new Error(
      `The data in Redis under the key prefix ${prefix} has the format ${format}; this version reads ` +
        `${KNOWN_FORMATS.join(", ")}. key_prefix may be another one, for new data.`,
    );
  }
  let reached: DataFormat = format;
  let raising: { readonly to: DataFormat; readonly done: Promise<void> } | undefined;
  const raise = async (to: DataFormat, before: Promise<void> | undefined) => {
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
    beforeWrite(needed) {
      if (raising === undefined && needed <= reached) return undefined;
      if (raising === undefined || needed > raising.to)
        raising = { to: needed, done: raise(needed, raising?.done) };
      return raising.done;
    },
  };
}
