import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { beginJoined } from "../../../src/wire/response/joined.ts";

const PARTS = ["a", "bc", "def", "", "g"].map((text) => Buffer.from(text));
const join = (parts: readonly Buffer[]) =>
  parts.reduce((joined, part) => joined.plus(part), beginJoined());

describe("joined parts", () => {
  test("have the bytes of all parts in order, whatever was joined before", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.constantFrom(...PARTS))), (lists) => {
        for (const parts of lists) {
          const joined = join(parts);
          expect(joined.bytes.toString()).toBe(parts.map(String).join(""));
          expect(joined.byteLength).toBe(joined.bytes.byteLength);
        }
      }),
      { seed: 7, numRuns: 200 },
    );
  });

  test("share one buffer for the same parts in one turn of the event loop", () => {
    const [a, b, c] = PARTS as [Buffer, Buffer, Buffer];
    expect(join([a, b]).bytes).toBe(join([a, b]).bytes);
    expect(join([a]).bytes).toBe(a);
    expect(join([a, c]).bytes).not.toBe(join([a, b]).bytes);
  });

  test("are dropped after the event-loop turn", async () => {
    const [a, b] = PARTS as [Buffer, Buffer];
    const before = join([a, b]).bytes;
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(join([a, b]).bytes).not.toBe(before);
  });
});
