import { describe, expect, it } from "vitest";
import { MAX_NESTING, parseNested, withoutTooDeep } from "../../src/core/nesting.ts";

/** Cuts text down to its limit. */
const cutDown = (text: string) =>
  new TextDecoder().decode(withoutTooDeep(new TextEncoder().encode(text)));
const isTooDeep = (text: string) => {
  const bytes = new TextEncoder().encode(text);
  return withoutTooDeep(bytes) !== bytes;
};

const lists = (levels: number, inside = "") => "[".repeat(levels) + inside + "]".repeat(levels);
const objects = (levels: number, inside = "1") =>
  '{"a":'.repeat(levels) + inside + "}".repeat(levels);

describe("the nesting of JSON from outside", () => {
  it.each([lists, objects])("may reach its limit, and not pass it", (nest) => {
    expect(isTooDeep(nest(MAX_NESTING))).toBe(false);
    expect(parseNested(nest(MAX_NESTING))).toEqual(JSON.parse(nest(MAX_NESTING)));
    expect(isTooDeep(nest(MAX_NESTING + 1))).toBe(true);
    expect(() => parseNested(nest(MAX_NESTING + 1))).toThrow(SyntaxError);
    expect(isTooDeep(nest(100_000))).toBe(true);
  });

  it("does not count brackets in strings, whatever is escaped there", () => {
    const text = JSON.stringify({ a: "[{".repeat(1000), b: '\\"'.repeat(200), c: '"[' });
    expect(isTooDeep(text)).toBe(false);
    expect(parseNested(text)).toEqual(JSON.parse(text));
    expect(isTooDeep(`["\\"${"[".repeat(200)}", 1]`)).toBe(false);
    expect(isTooDeep(`["\\\\",${lists(MAX_NESTING)}]`)).toBe(true);
  });

  it("takes characters of several bytes for what they are", () => {
    const text = `{"é[":"𝄞{${"é{".repeat(200)}","b":${lists(MAX_NESTING, '"ü"')},"c":"ß"}`;
    expect(JSON.parse(cutDown(text))).toMatchObject({
      "é[": expect.stringContaining("𝄞{é{"),
      c: "ß",
    });
  });

  it("counts levels that are open at once, not all that there are", () => {
    expect(isTooDeep(`[${"[],".repeat(10_000)}{}]`)).toBe(false);
  });

  it("bounds text that never ends, and takes what is no JSON as it is", () => {
    expect(isTooDeep("[".repeat(MAX_NESTING + 1))).toBe(true);
    expect(isTooDeep("]".repeat(1000))).toBe(false);
    expect(() => parseNested("]".repeat(1000))).toThrow(SyntaxError);
    expect(isTooDeep(`"${"[".repeat(1000)}`)).toBe(false);
  });

  it("is cut down to its limit, with null in place of each part that is too deep", () => {
    const deep = lists(40, "7");
    const text = `{"x":${lists(MAX_NESTING - 1, `${deep},"[",${deep}`)},"y":${lists(300)},"z":"ok"}`;
    const cut = JSON.parse(cutDown(text));
    let inner = cut.x;
    for (let level = 1; level < MAX_NESTING - 1; level++) inner = inner[0];
    expect(inner).toEqual([null, "[", null]);
    expect(cut.z).toBe("ok");
    expect(isTooDeep(cutDown(text))).toBe(false);
    expect(cutDown(lists(5))).toBe(lists(5));
  });

  it("stays malformed when it is cut down", () => {
    expect(() => JSON.parse(cutDown("[".repeat(100_000)))).toThrow(SyntaxError);
  });
});
