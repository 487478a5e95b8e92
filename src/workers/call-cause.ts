import { type CallCause, MAX_DEPTH, OUTERMOST } from "../functions/cause.ts";
import { parseNested } from "../core/nesting.ts";

// Marks the invocation among the names, which contain no control characters.
const INVOCATION = "\u0000";

/**
 * The cause of a call as text, which a worker passes on in the calls that it makes meanwhile: depth,
 * custom streams, and the invocation.
 */
export function writeCause({ depth, overriding }: CallCause, invocationId: string): string {
  return JSON.stringify([depth, ...overriding, `${INVOCATION}${invocationId}`]);
}

/**
 * Reads a cause; an outermost one when the text is absent or invalid.
 *
 * @param functionOf The function of an invocation that is open in the worker's session; "" for any
 *   other id: a worker cannot claim another function.
 */
export function readCause(text: string, functionOf: (invocationId: string) => string): CallCause {
  try {
    const [depth, ...names] = parseNested(text) as unknown[];
    const isDepth = typeof depth === "number" && Number.isInteger(depth) && depth >= 0;
    if (isDepth && names.every((name) => typeof name === "string")) {
      const invocation = names.find((name) => name.startsWith(INVOCATION));
      return {
        depth: Math.min(depth, MAX_DEPTH),
        overriding: names.filter((name) => name !== invocation),
        functionId: invocation === undefined ? "" : functionOf(invocation.slice(INVOCATION.length)),
      };
    }
  } catch {
    // Treated as absent.
  }
  return OUTERMOST;
}
