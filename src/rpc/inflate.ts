import {
  type BrotliOptions,
  type ZlibOptions,
  brotliDecompress,
  brotliDecompressSync,
  gunzip,
  gunzipSync,
} from "node:zlib";
import type { BodyBudget } from "../core/body-budget.ts";
import { bodyInvalid, bodyTooLarge } from "./request-body.ts";
import { FREE_INFLATION_BYTES, MAX_INFLATION, MAX_SMALL_REQUEST_BYTES } from "./request-limits.ts";

/** Messages that are inflated at a time; the others wait as they were sent. */
const MAX_AT_ONCE = 4;

type Options = Pick<ZlibOptions & BrotliOptions, "maxOutputLength">;
interface Compression {
  readonly now: (bytes: Uint8Array, options: Options) => Buffer;
  readonly later: (
    bytes: Uint8Array,
    options: Options,
    done: (error: Error | null, result: Buffer) => void,
  ) => void;
}

const COMPRESSIONS = new Map<string, Compression>([
  ["gzip", { now: gunzipSync, later: gunzip }],
  ["br", { now: brotliDecompressSync, later: brotliDecompress }],
]);

/** Whether messages with this compression can be inflated. */
export function isInflatable(compression: string): boolean {
  return COMPRESSIONS.has(compression);
}

/**
 * Inflates a message with a known compression.
 *
 * What may only become small is inflated at once, so that no two inflaters, whose windows may be
 * far larger than what they give, live at the same time. What may become large is inflated by other
 * threads, few at a time, and stays taken from the budget until `release` is called.
 *
 * @throws StreamError REQUEST_INVALID for what is malformed or would become too large, OVERLOADED.
 */
export async function inflate(
  bytes: Uint8Array,
  compression: string,
  maxBytes: number,
  budget: BodyBudget,
): Promise<{ readonly bytes: Buffer; readonly release: () => void }> {
  const { now, later } = COMPRESSIONS.get(compression) as Compression;
  const byRatio = Math.max(FREE_INFLATION_BYTES, MAX_INFLATION * bytes.byteLength);
  const maxOutputLength = Math.min(maxBytes, byRatio);
  const failure = (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "ERR_BUFFER_TOO_LARGE")
      return bodyInvalid(`The request is not valid ${compression} data.`);
    return maxOutputLength === maxBytes ? bodyTooLarge(maxBytes) : inflatesTooMuch();
  };
  if (maxBytes <= MAX_SMALL_REQUEST_BYTES) {
    try {
      return { bytes: now(bytes, { maxOutputLength }), release: () => {} };
    } catch (error) {
      throw failure(error);
    }
  }
  await SLOTS.take();
  let taken = 0;
  try {
    budget.take(maxOutputLength);
    taken = maxOutputLength;
    const inflated = await new Promise<Buffer>((resolve, reject) => {
      later(bytes, { maxOutputLength }, (error, result) =>
        error === null ? resolve(result) : reject(failure(error)),
      );
    });
    budget.give(taken - inflated.byteLength);
    taken = inflated.byteLength;
    let held = taken;
    const release = () => {
      budget.give(held);
      held = 0;
    };
    return { bytes: inflated, release };
  } catch (error) {
    budget.give(taken);
    throw error;
  } finally {
    SLOTS.give();
  }
}

function inflatesTooMuch() {
  return bodyInvalid(
    `The request becomes more than ${MAX_INFLATION} times as large when it is decompressed; it may be sent without compression.`,
  );
}

/** Places for those who inflate, first come, first served. */
class Slots {
  #free = MAX_AT_ONCE;
  readonly #waiting: (() => void)[] = [];

  async take(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

const SLOTS = new Slots();
