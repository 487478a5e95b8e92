import fc from "fast-check";
import { expect, test } from "vitest";
import { compareUtf8, utf8Length } from "../../src/core/text.ts";

// Well-formed, with characters on both sides of every length and of the surrogates.
const edges = [
  "\u0000",
  "\u007f",
  "\u0080",
  "\u07ff",
  "\u0800",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "\u{10000}",
  "\u{10ffff}",
];
const unit = fc.oneof(fc.constantFrom(...edges), fc.constantFrom("a", "b"));
const text = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit, maxLength: 6 }));

test.each([...edges, "", "abc", "aé€\u{1F600}"].map((sample) => [JSON.stringify(sample), sample]))(
  "the length of %s is that of its UTF-8 bytes",
  (_title, sample) => {
    expect(utf8Length(sample)).toBe(Buffer.byteLength(sample));
  },
);

test("the length of any well-formed text is that of its UTF-8 bytes", () => {
  fc.assert(
    fc.property(text, (sample) => {
      expect(utf8Length(sample)).toBe(Buffer.byteLength(sample));
    }),
    { numRuns: 1000 },
  );
});

test("texts are ordered as their UTF-8 bytes are", () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
    { numRuns: 2000 },
  );
});

test("texts with a common prefix are ordered as their UTF-8 bytes are", () => {
  fc.assert(
    fc.property(text, text, text, (start, a, b) => {
      const expected = Buffer.compare(Buffer.from(start + a), Buffer.from(start + b));
      expect(Math.sign(compareUtf8(start + a, start + b))).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

test("a character beyond the BMP comes after one at its end", () => {
  expect(compareUtf8("\u{10000}", "\uffff")).toBeGreaterThan(0);
  expect(compareUtf8("\ue000", "\u{10000}")).toBeLessThan(0);
});
