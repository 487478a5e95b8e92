import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type KeyEntry, hashOfKey, keyRing, newKey } from "../../src/rights/keys.ts";
import { readRules } from "../../src/rights/rule.ts";
import { SettingError } from "../../src/rights/setting-error.ts";

function refusal(entries: readonly KeyEntry[]): string {
  try {
    keyRing(entries);
  } catch (error) {
    if (error instanceof SettingError) return error.message;
    throw error;
  }
  return "";
}

describe("a key ring", () => {
  test("finds keys by themselves or by their hash, and nothing else", () => {
    const [first, second] = [newKey(), newKey()];
    const ring = keyRing([
      { name: "backend", key: first },
      { name: "exporter", keySha256: hashOfKey(second).toUpperCase() },
    ]);
    expect(ring.find(first)?.name).toBe("backend");
    expect(ring.find(second)?.name).toBe("exporter");
    for (const other of [newKey(), "", first.slice(0, -1), `${first} `, hashOfKey(first)])
      expect(ring.find(other)).toBeUndefined();
    expect(keyRing([]).find(first)).toBeUndefined();
  });

  test("gives a key its rules, or everything when it has none", () => {
    const [free, narrow] = [newKey(), newKey()];
    const allow = readRules([{ actions: ["read"] }], "auth.keys[1].allow");
    const ring = keyRing([
      { name: "free", key: free },
      { name: "narrow", key: narrow, allow },
    ]);
    expect(ring.find(free)?.allow).toMatchObject([{ place: "auth.keys[0]", written: ["*"] }]);
    expect(ring.find(narrow)?.allow).toBe(allow);
  });

  test("refuses an empty API token", () => {
    expect(() => keyRing([], [""])).toThrow("api_tokens[0] is empty");
  });

  test("finds a key and its successor of the same name", () => {
    const ring = keyRing([
      { name: "backend", key: "old" },
      { name: "backend", key: "new" },
    ]);
    expect(ring.find("old")?.name).toBe("backend");
    expect(ring.find("new")?.name).toBe("backend");
  });

  test("gives a key with an empty list of rules no rights", () => {
    expect(keyRing([{ name: "a", key: "k", allow: [] }]).find("k")?.allow).toEqual([]);
  });

  test("finds API tokens, which share a name and may do everything", () => {
    const ring = keyRing([{ name: "backend", key: "k" }], ["one", "two", "one"]);
    for (const token of ["one", "two"]) {
      expect(ring.find(token)).toMatchObject({ name: "api", allow: [{ written: ["*"] }] });
    }
    expect(ring.find("two")?.allow[0]?.place).toBe("api_tokens[1]");
    expect(ring.find("k")?.name).toBe("backend");
    expect(ring.find("three")).toBeUndefined();
    expect(() => keyRing([{ name: "backend", key: "one" }], ["one"])).toThrow(
      "auth.keys[0] is the same key as api_tokens[0]; each entry needs a key of its own.",
    );
  });

  const hash = "0".repeat(64);
  test.each<[readonly KeyEntry[], string]>([
    [[{ name: "a" }], "auth.keys[0] has no key; it may have either key or key_sha256."],
    [
      [{ name: "a", key: "k", keySha256: hash }],
      "auth.keys[0] has a key and its hash; it may have either key or key_sha256.",
    ],
    [
      [{ name: "a", key: "" }],
      "auth.keys[0].key cannot be sent in a header; it may be printable ASCII without spaces, as `millrace key` prints.",
    ],
    [
      [{ name: "a", key: "two words" }],
      "auth.keys[0].key cannot be sent in a header; it may be printable ASCII without spaces, as `millrace key` prints.",
    ],
    [
      [{ name: "a", keySha256: "abc" }],
      "auth.keys[0].key_sha256 is not a SHA-256 hash; it may be the 64 hexadecimal digits that `millrace key` prints.",
    ],
    [
      [{ name: "a", keySha256: hashOfKey("") }],
      "auth.keys[0].key_sha256 is the hash of nothing, such as of a variable that is not set; it may be that of a key.",
    ],
    ...["", "a\nb", "a".repeat(257)].map((name): [readonly KeyEntry[], string] => [
      [{ name, key: "k" }],
      "auth.keys[0].name is not a name; it may be 1 to 256 bytes without control characters.",
    ]),
    [
      [{ name: "api", key: "k" }],
      'auth.keys[0].name is "api", the name of api_tokens; it may be another name.',
    ],
    [
      [
        { name: "a", key: "k" },
        { name: "b", keySha256: hashOfKey("k") },
      ],
      "auth.keys[1] is the same key as auth.keys[0]; each entry needs a key of its own.",
    ],
  ])("refuses %j with a sentence", (entries, sentence) => {
    expect(refusal(entries)).toBe(sentence);
  });
});

describe("a new key", () => {
  test("is mk_ and 32 random bytes", () => {
    const key = newKey();
    expect(key).toMatch(/^mk_[\w-]{43}$/);
    expect(newKey()).not.toBe(key);
  });

  test("has its SHA-256 as hash", () => {
    expect(hashOfKey("mk_a")).toBe(createHash("sha256").update("mk_a").digest("hex"));
  });
});
