import { type Cause, MAX_DEPTH } from "../functions/cause.ts";
import { parseNested } from "../core/nesting.ts";

/** The cause of a call as text, for a worker to hand on in calls that it makes while it answers. */
export function writeCause({ depth, overriding }: Cause): string {
  return JSON.stringify([depth, ...overriding]);
}

/** Reads a cause back; the outermost one when there is none, or none that can be read. */
export function readCause(text: string): Cause {
  try {
    const [depth, ...overriding] = parseNested(text) as unknown[];
    const isDepth = typeof depth === "number" && Number.isInteger(depth) && depth >= 0;
    if (isDepth && overriding.every((name) => typeof name === "string"))
      return { depth: Math.min(depth, MAX_DEPTH), overriding };
  } catch {
    // As if there were none.
  }
  return { depth: 0, overriding: [] };
}
