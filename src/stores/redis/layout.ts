import type { RedisServers } from "../../redis/redis-servers.ts";
import { DEFAULT_PARTITIONS, layoutKey } from "./keys.ts";
import { RAISE_FORMAT } from "./scripts.ts";

/**
 * Format of the data, as a digit. It is raised before the first record that earlier versions would
 * misread, so that their processes do not start on such data.
 */
export type Format = "1" | "2" | "3";
const FIRST_FORMAT: Format = "1";
/** Format of data that contain authors. */
export const FORMAT_WITH_AUTHORS: Format = "2";
/** Format of data that contain idempotency keys, and maybe authors. */
export const FORMAT_WITH_KEYS: Format = "3";

const FORMATS: readonly Format[] = [FIRST_FORMAT, FORMAT_WITH_AUTHORS, FORMAT_WITH_KEYS];

/** The settings of the data that hold for all processes. */
export interface Layout {
  /** Number of partitions with which the data was created. */
  readonly partitions: number;
  /**
   * What a write has to await, if anything: the first one that needs a higher format, and those after
   * it, wait until the data have it. They continue in the order of the calls. It rejects with a
   * StreamError when the format cannot be set.
   *
   * @param needed Undefined: any.
   */
  beforeWrite(needed: Format | undefined): Promise<void> | undefined;
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
  await servers.send(tag, ["HSETNX", key, "format", FIRST_FORMAT], "read");
  await servers.send(tag, ["HSETNX", key, "partitions", String(partitions)], "read");
  const reply = await servers.send(tag, ["HMGET", key, "format", "partitions"], "read");
  const [format, count] = (reply as unknown[]).map(String);
  const known = FORMATS.find((each) => each === format);
  if (known === undefined) {
    throw new Error(
      `The data in Redis under the key prefix ${prefix} has the format ${format}; this version reads ${FIRST_FORMAT} to ` +
        `${FORMATS.at(-1)}. key_prefix may be another one, for new data.`,
    );
  }
  let current = known;
  let raising: { readonly to: Format; readonly done: Promise<void> } | undefined;
  const raise = async (to: Format, before: Promise<void> | undefined): Promise<void> => {
    const end = () => {
      if (raising?.to === to) raising = undefined;
    };
    try {
      await before;
      // Raised further by another process meanwhile, it stays as it is.
      await servers.run(tag, RAISE_FORMAT, [key], [to], "read");
    } catch (error) {
      end();
      throw error;
    }
    // Later: the writes that wait are to run before new ones.
    setImmediate(() => {
      current = to;
      end();
    });
  };
  return {
    partitions: Number(count),
    beforeWrite(needed = FIRST_FORMAT) {
      if (needed > (raising?.to ?? current))
        raising = { to: needed, done: raise(needed, raising?.done) };
      return raising?.done;
    },
  };
}
