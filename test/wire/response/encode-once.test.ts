import { describe, expect, it } from "vitest";
import { createRecentForReaders } from "../../../src/wire/response/encode-once.ts";

interface Key {
  readonly author: string;
}

/** A cache of texts, and the encodings that it made. */
function cache() {
  const made: string[] = [];
  const encode = createRecentForReaders(
    ({ author }: Key, withAuthor: boolean, group: string) => {
      const text = `${group} ${withAuthor ? author : "-"}`;
      made.push(text);
      return { text };
    },
    ({ author }) => author !== "",
    () => 1,
  );
  return { encode, made };
}

describe("encodings for readers with and without authors", () => {
  it("are made once for each kind of reader", () => {
    const { encode, made } = cache();
    const key = { author: "user:ann" };
    const whole = encode(key, true, "g");
    const bare = encode(key, false, "g");
    expect([whole.text, bare.text]).toEqual(["g user:ann", "g -"]);
    expect([encode(key, true, "g"), encode(key, false, "g")]).toEqual([whole, bare]);
    expect(encode(key, true, "g")).toBe(whole);
    expect(encode(key, false, "g")).toBe(bare);
    expect(made).toHaveLength(2);
  });

  it.each([true, false])(
    "are one for both without an author, when the first reader has %s",
    (first) => {
      const { encode, made } = cache();
      const key = { author: "" };
      expect(encode(key, first, "g")).toBe(encode(key, !first, "g"));
      expect(made).toHaveLength(1);
    },
  );
});
