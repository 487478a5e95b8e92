import { type Cause, MAX_DEPTH } from "../functions/cause.ts";
import { parseNested } from "../core/nesting.ts";

/** The cause of a call as text, which a worker passes on in the calls that it makes meanwhile. */
export function writeCause({ depth, overriding }: Cause): string {
  return JSON.stringify([depth, ...overriding]);
}

/** Reads a cause; an outermost one when the text is absent or invalid. */
export function readCause(text: string): Cause {
  try {
    const [depth, ...overriding] = parseNested(text) as unknown[];
    const isDepth = typeof depth === "number" && Number.isInteger(depth) && depth >= 0;
    if (isDepth && overriding.every((name) => typeof name === "string"))
      return { depth: Math.min(depth, MAX_DEPTH), overriding };
  } catch {
    // Treated as absent.
  }
  return { depth: 0, overriding: [] };
}
