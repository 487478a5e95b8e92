import fc from "fast-check";
import type { Json } from "../../../src/core/value.ts";

/** Text that is easy to damage: escapes, non-ASCII, beyond U+FFFF, a byte order mark. */
const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.constantFrom(
    "",
    '\u0000\b\t\n\f\r\u001f"\\/',
    "\ufeffmark",
    "\u2028\u2029\u007f\ufffd",
    "ß😀",
    "x".repeat(130),
  ),
);

const key = fc
  .oneof(
    text,
    fc.constantFrom(
      "constructor",
      "prototype",
      "toString",
      "hasOwnProperty",
      "10",
      "2",
      "-1",
      "proto__",
    ),
  )
  .filter((each) => each !== "__proto__");

const number = fc
  .oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.constantFrom(
      0,
      9,
      10,
      999_999,
      1_000_000,
      2 ** 53 - 1,
      -(2 ** 53),
      1e21,
      1e-7,
      5e-324,
      1.7976931348623157e308,
    ),
  )
  .map((each) => each + 0);

/** Any JSON value within the limits, without -0 and __proto__. */
export const arbitraryJson: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 6, depthIdentifier: "json" },
    fc.oneof(fc.constant(null), fc.boolean(), number, text),
    fc.array(tie("json"), { maxLength: 6, depthIdentifier: "json" }),
    fc.dictionary(key, tie("json"), {
      maxKeys: 24,
      depthIdentifier: "json",
      noNullPrototype: true,
    }),
  ),
})).json;
