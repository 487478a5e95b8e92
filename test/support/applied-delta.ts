import type { DeltaEvent } from "../../src/core/change.ts";
import { reduce } from "../../src/core/reduce.ts";
import { Value } from "../../src/core/value.ts";

/**
 * The value after a delta, as JSON text.
 *
 * @param values The values that a subscriber holds, by item.
 * @param revisions The revisions of these values.
 * @throws Error when the subscriber does not hold the value that the delta applies to.
 */
export function appliedDelta(
  { itemId, delta }: DeltaEvent,
  values: ReadonlyMap<string, string>,
  revisions: ReadonlyMap<string, number>,
): string {
  const before = values.get(itemId);
  const known = revisions.get(itemId);
  if (before === undefined || known !== delta.baseRevision)
    throw new Error(`a delta of revision ${delta.baseRevision}; the item is at ${known}`);
  const { value, errors } = reduce(Value.parse(before), delta.ops);
  if (errors.length > 0) throw new Error("a delta with a step that has no effect");
  return value.text;
}
