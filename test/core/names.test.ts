import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import { checkGroup, checkName, groupKeyText } from "../../src/core/names.ts";
import { compareUtf8 } from "../../src/core/text.ts";

function refusal(run: () => unknown): StreamError | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof StreamError) return error;
    throw error;
  }
}

describe("a name", () => {
  test.each([
    ["one character", "a"],
    ["256 bytes", "a".repeat(256)],
    ["256 bytes of two-byte characters", "é".repeat(128)],
    ["256 bytes of four-byte characters", "\u{1F600}".repeat(64)],
    ["separators of other systems", "a:b/c\\d|e.f*g{h}%i"],
    ["spaces at both ends", " a "],
    ["a space alone", " "],
    ["quotes", "\"'`"],
    ["line and paragraph separators", "\u2028\u2029"],
    ["a zero-width joiner and a byte order mark", "\u200d\ufeff"],
    ["a direction override", "\u202e"],
    ["a private use character", "\ue000"],
    ["a noncharacter", "\uffff"],
    ["the first character after the controls", "\u00a0"],
    ["an inherited property of objects", "__proto__"],
    ["dots", ".."],
  ])("may have %s", (_title, name) => {
    expect(checkName("item_id", name)).toBe(name);
  });

  test("is never normalized", () => {
    expect(checkName("item_id", "e\u0301")).not.toBe(checkName("item_id", "\u00e9"));
  });

  const controls = [
    ...Array.from({ length: 0x20 }, (_, code) => code),
    ...Array.from({ length: 0x21 }, (_, index) => 0x7f + index),
  ];
  test.each(controls)("may not have the control character %d", (code) => {
    const name = `a${String.fromCharCode(code)}b`;
    expect(refusal(() => checkName("item_id", name))?.reason).toBe("NAME_INVALID");
  });

  test.each([
    ["missing", undefined, "is missing"],
    ["null", null, "is not a string"],
    ["a number", 1, "is not a string"],
    ["a boxed string", Object("a") as unknown, "is not a string"],
    ["empty", "", "is empty"],
    ["257 bytes", "a".repeat(257), "is too long"],
    ["257 bytes in fewer characters", `${"é".repeat(128)}a`, "is too long"],
    ["a megabyte", "a".repeat(1_000_000), "is too long"],
    ["a lone high surrogate", "a\ud83d", "is not valid Unicode"],
    ["a lone low surrogate", "\ude00a", "is not valid Unicode"],
    ["a newline", "a\nb", "has a control character"],
    ["a separator of keys", "a\u0000b", "has a control character"],
  ])("may not be or have: %s", (_title, name, problem) => {
    const error = refusal(() => checkName("item_id", name));
    expect(error).toMatchObject({
      reason: "NAME_INVALID",
      code: "invalid_argument",
      metadata: { field: "item_id" },
      message: `item_id ${problem}; it may be 1 to 256 bytes of UTF-8 without control characters.`,
    });
  });
});

describe("a group", () => {
  test("consists of two names; other fields are dropped", () => {
    const key = checkGroup({ streamName: "s", groupId: "g", ...{ extra: 1 } });
    expect(key).toStrictEqual({ streamName: "s", groupId: "g" });
  });

  test.each([
    [{ streamName: "", groupId: "g" }, "stream_name"],
    [{ streamName: "s", groupId: undefined }, "group_id"],
    [{ streamName: "", groupId: "" }, "stream_name"],
  ])("with a bad name is refused: %j", (group, field) => {
    expect(refusal(() => checkGroup(group))).toMatchObject({
      reason: "NAME_INVALID",
      metadata: { field },
    });
  });

  const name = fc
    .oneof(
      fc.string({
        unit: fc.constantFrom("a", ":", "b", "/", "\uffff", "\u{10000}"),
        minLength: 1,
        maxLength: 4,
      }),
      fc.string({ unit: "binary", minLength: 1, maxLength: 8 }),
    )
    .filter((text) => refusal(() => checkName("name", text)) === undefined);
  const group = fc.record({ streamName: name, groupId: name });

  test("has a unique text, whatever separators its names contain", () => {
    expect(groupKeyText({ streamName: "a:b", groupId: "c" })).not.toBe(
      groupKeyText({ streamName: "a", groupId: "b:c" }),
    );
    fc.assert(
      fc.property(group, group, (a, b) => {
        const same = a.streamName === b.streamName && a.groupId === b.groupId;
        expect(groupKeyText(a) === groupKeyText(b)).toBe(same);
      }),
      { numRuns: 500 },
    );
  });

  test("sorts by its text in the order of stream, then group", () => {
    fc.assert(
      fc.property(group, group, (a, b) => {
        const byNames =
          compareUtf8(a.streamName, b.streamName) || compareUtf8(a.groupId, b.groupId);
        expect(Math.sign(compareUtf8(groupKeyText(a), groupKeyText(b)))).toBe(Math.sign(byNames));
      }),
      { numRuns: 500 },
    );
  });
});
