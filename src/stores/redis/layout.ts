import type { RedisServers } from "../../redis/redis-servers.ts";
import { DEFAULT_PARTITIONS, layoutKey } from "./keys.ts";

/** Format of the data. Raised with every change that earlier versions would misread. */
const FORMAT = "1";
/**
 * Format of data that contain authors. It is set before the first one is written, so that processes of
 * earlier versions, which would misread records with authors, do not start on such data.
 */
const FORMAT_WITH_AUTHORS = "2";

/** The settings of the data that hold for all processes. */
export interface Layout {
  /** Number of partitions with which the data was created. */
  readonly partitions: number;
  /**
   * What a write has to await, if anything: the first one with an author, and those after it, wait
   * until the format says that the data contain authors. They continue in the order of the calls.
   * It rejects with a StreamError when the format cannot be set.
   */
  beforeWrite(hasAuthor: boolean): Promise<void> | undefined;
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
  await servers.send(tag, ["HSETNX", key, "format", FORMAT], "read");
  await servers.send(tag, ["HSETNX", key, "partitions", String(partitions)], "read");
  const reply = await servers.send(tag, ["HMGET", key, "format", "partitions"], "read");
  const [format, count] = (reply as unknown[]).map(String);
  if (format !== FORMAT && format !== FORMAT_WITH_AUTHORS) {
    throw new Error(
      `The data in Redis under the key prefix ${prefix} has the format ${format}; this version reads ${FORMAT} and ` +
        `${FORMAT_WITH_AUTHORS}. key_prefix may be another one, for new data.`,
    );
  }
  let isMarked = format === FORMAT_WITH_AUTHORS;
  let marking: Promise<void> | undefined;
  const mark = async () => {
    try {
      await servers.send(tag, ["HSET", key, "format", FORMAT_WITH_AUTHORS], "read");
      // Later: the writes that wait are to run before new ones.
      setImmediate(() => (isMarked = true));
    } catch (error) {
      marking = undefined;
      throw error;
    }
  };
  return {
    partitions: Number(count),
    beforeWrite(hasAuthor) {
      if (isMarked || (!hasAuthor && marking === undefined)) return undefined;
      return (marking ??= mark());
    },
  };
}
