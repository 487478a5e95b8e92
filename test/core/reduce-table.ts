import { expect, test } from "vitest";
import type { UpdateOp } from "../../src/core/ops.ts";
import { reduce } from "../../src/core/reduce.ts";
import { type Json, Value } from "../../src/core/value.ts";

/** In a table: there is no item. */
export const MISSING = Symbol("missing");

type Current = Json | typeof MISSING;

/** Title, value before, steps, value after, codes of the skipped steps by index. */
export type Row = [string, Current, UpdateOp[], Json, Record<number, string>?];

/** Runs steps on a value and returns plain results. */
export function run(current: Current, ops: readonly UpdateOp[]) {
  const value = current === MISSING ? undefined : Value.of(current);
  const result = reduce(value, ops);
  const codes = Object.fromEntries(result.errors.map((error) => [error.opIndex, error.code]));
  return { value: result.value.json(), codes, result };
}

/** One test per row. */
export function table(rows: readonly Row[]): void {
  test.each(rows)("%s", (_title, current, ops, value, codes = {}) => {
    const actual = run(current, ops);
    expect(actual.value).toStrictEqual(value);
    expect(actual.codes).toStrictEqual(codes);
  });
}

/** `{"a":{"a":...value}}` with `levels` objects. */
export function nested(levels: number, value: Json): Json {
  return levels === 0 ? value : { a: nested(levels - 1, value) };
}

/** Distinct keys. */
export function keys(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `k${index}`);
}
