import { MAX_ORDER_BYTES } from "./coordinator.ts";
import { StreamError } from "./errors.ts";

/** Checks the size of an order. @throws RangeError */
export function checkOrder(order: string): void {
  const bytes = new TextEncoder().encode(order).length;
  if (bytes <= MAX_ORDER_BYTES) return;
  throw new RangeError(`The order has ${bytes} bytes; the maximum is ${MAX_ORDER_BYTES} bytes.`);
}

/** The error of an order that some of the processes did not carry out. */
export function orderFailed(failed: number, processes: number, cause?: unknown): StreamError {
  const where = processes === 1 ? "" : ` at ${failed} of ${processes} processes`;
  return new StreamError(
    "OUTCOME_UNKNOWN",
    `The call was not carried out completely${where}; it may be made again.`,
    { cause },
  );
}
