import { type BrotliOptions, type ZlibOptions, brotliDecompress, gunzip } from "node:zlib";
import type { BodyBudget } from "../limits/body-budget.ts";
import { bodyInvalid, bodyTooLarge } from "./envelope.ts";
import { FREE_INFLATION_BYTES, MAX_INFLATION, MAX_SMALL_REQUEST_BYTES } from "./request-limits.ts";

/** Most messages of methods with large requests that are inflated at the same time. */
const MAX_LARGE_AT_ONCE = 4;
/** Most messages of methods with small requests that are inflated at the same time. */
const MAX_SMALL_AT_ONCE = 2;

/** Inflates a message on another thread. */
type Inflate = (
  bytes: Uint8Array,
  options: Pick<ZlibOptions & BrotliOptions, "maxOutputLength">,
  done: (error: Error | null, result: Buffer) => void,
) => void;

const COMPRESSIONS = new Map<string, Inflate>([
  ["gzip", gunzip],
  ["br", brotliDecompress],
]);

/** Whether messages with this compression can be inflated. */
export function isInflatable(compression: string): boolean {
  return COMPRESSIONS.has(compression);
}

/**
 * Inflates a message with a known compression.
 *
 * It runs on other threads, a few messages at a time: Brotli fills its window of up to 16 MiB
 * before it returns the first byte, so even 22 bytes that may inflate to 16 KiB take 8 ms. Other
 * messages wait in compressed form. Small requests have slots of their own, so that they never wait
 * behind large ones. The output counts towards the budget until `release` is called.
 *
 * @throws StreamError REQUEST_INVALID when the message is malformed or its output too large;
 *   OVERLOADED.
 */
export async function inflate(
  bytes: Uint8Array,
  compression: string,
  maxBytes: number,
  budget: BodyBudget,
): Promise<{ readonly bytes: Buffer; readonly release: () => void }> {
  const inflateNow = COMPRESSIONS.get(compression) as Inflate;
  const slots = maxBytes <= MAX_SMALL_REQUEST_BYTES ? SMALL_SLOTS : LARGE_SLOTS;
  const byRatio = Math.max(FREE_INFLATION_BYTES, MAX_INFLATION * bytes.byteLength);
  const maxOutputLength = Math.min(maxBytes, byRatio);
  const failure = (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "ERR_BUFFER_TOO_LARGE")
      return bodyInvalid(`The request is not valid ${compression} data.`);
    return maxOutputLength === maxBytes ? bodyTooLarge(maxBytes) : expandsTooMuch();
  };
  await slots.take();
  let taken = 0;
  try {
    budget.take(maxOutputLength);
    taken = maxOutputLength;
    const inflated = await new Promise<Buffer>((resolve, reject) => {
      inflateNow(bytes, { maxOutputLength }, (error, result) =>
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
    slots.give();
  }
}

function expandsTooMuch() {
  return bodyInvalid(
    `The request expands more than ${MAX_INFLATION} times when decompressed; it may be sent without compression.`,
  );
}

/** A limited number of slots, first come, first served. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

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

const LARGE_SLOTS = new Slots(MAX_LARGE_AT_ONCE);
const SMALL_SLOTS = new Slots(MAX_SMALL_AT_ONCE);
