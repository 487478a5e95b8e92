import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_HISTORY } from "../../src/core/store.ts";
import {
  StreamSettingError,
  type StreamOptions,
  type StreamsOptions,
} from "../../src/streams/stream-options.ts";
import { StreamTable } from "../../src/streams/stream-settings.ts";

const DEFAULTS = {
  history: DEFAULT_HISTORY,
  ttlMs: undefined,
  maxItems: undefined,
  maxValueBytes: 1024 * 1024,
  schema: undefined,
  presence: true,
  authors: false,
};

describe("settings of streams", () => {
  it("are one object for all streams where none are configured", () => {
    const table = new StreamTable();
    expect(table.of("chat")).toEqual(DEFAULTS);
    expect(table.of("chat")).toBe(table.of("other"));
  });

  it("take each key from the longest pattern that has it, and history limit by limit", () => {
    const table = new StreamTable(
      { maxChanges: 500 },
      {
        "*": { authors: true, history: { maxAgeMs: 1 }, maxItems: 10 },
        "chat-*": { maxItems: 20, history: { maxBytes: 7, maxAgeMs: 2 } },
        "chat-de-*": { maxItems: 30 },
        "chat-de-1": { presence: false, history: { maxAgeMs: 3 } },
      },
    );
    const history = { maxChanges: 500, maxAgeMs: 1, maxBytes: DEFAULT_HISTORY.maxBytes };
    expect(table.of("x")).toEqual({ ...DEFAULTS, authors: true, maxItems: 10, history });
    expect(table.of("chat-de-1")).toEqual({
      ...DEFAULTS,
      authors: true,
      maxItems: 30,
      presence: false,
      history: { maxChanges: 500, maxAgeMs: 3, maxBytes: 7 },
    });
    expect(table.of("chat-de-12").history.maxAgeMs).toBe(2);
    expect(table.of("chat-de-12")).toBe(table.of("chat-de-12"));
  });

  it("prefer a name to a prefix of the same length, and take braces in a pattern literally", () => {
    const table = new StreamTable(
      {},
      { "a*": { maxItems: 1 }, a: { maxItems: 2 }, "{user}": { maxItems: 3 } },
    );
    expect(["a", "ab", "{user}", "b"].map((name) => table.of(name).maxItems)).toEqual([
      2,
      1,
      3,
      undefined,
    ]);
  });

  it("leave the service's own streams alone", () => {
    const table = new StreamTable({}, { "*": { maxItems: 1 }, "m*": { schema: false } });
    expect(table.of("millrace:dead-letters")).toEqual(DEFAULTS);
    expect(table.of("millrace").maxItems).toBe(1);
  });

  it("can be replaced as a whole", () => {
    const table = new StreamTable({}, { a: { maxItems: 1 } });
    expect(table.limitsItems).toBe(true);
    expect(table.of("a").maxItems).toBe(1);
    table.replace({ a: { authors: true } });
    expect(table.of("a")).toEqual({ ...DEFAULTS, authors: true });
    expect(table.limitsItems).toBe(false);
    table.replace({});
    expect(table.of("a")).toBe(table.of("b"));
  });

  it("are those of a naive search, whatever the patterns are", () => {
    const name = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 4 });
    const pattern = fc
      .tuple(name, fc.boolean())
      .map(([start, isPrefix]) => (isPrefix ? `${start}*` : start))
      .filter((text) => text !== "");
    const options: fc.Arbitrary<StreamOptions> = fc.record(
      {
        maxItems: fc.integer({ min: 1, max: 9 }),
        authors: fc.boolean(),
        history: fc.record({ maxAgeMs: fc.nat(9), maxBytes: fc.nat(9) }, { requiredKeys: [] }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.dictionary(pattern, options),
        fc.array(name.filter((text) => text !== "")),
        (streams, names) => {
          const table = new StreamTable({}, streams);
          for (const each of names) expect(table.of(each)).toEqual(naive(streams, each));
        },
      ),
    );
  });

  it.each<[string, StreamsOptions, string]>([
    ["an empty pattern", { "": {} }, 'streams[""] is empty; it may be the name of a stream'],
    ["a star inside", { "a*b": {} }, 'streams["a*b"] has a * before its end; it may end in one *.'],
    ["two stars", { "a**": {} }, "has a * before its end"],
    ["a control character", { "a\nb": {} }, "is not the name of a stream"],
    ["a name of the service", { "millrace:x": {} }, "is about streams of the service itself"],
    [
      "no items",
      { a: { maxItems: 0 } },
      'streams["a"].maxItems is 0; it may be an integer from 1 to',
    ],
    ["half an item", { a: { maxItems: 1.5 } }, "maxItems is 1.5"],
    [
      "a lifetime under a second",
      { a: { ttlMs: 999 } },
      "ttlMs is 999; it may be an integer from 1000",
    ],
    ["a lifetime over ten years", { a: { ttlMs: 3651 * 86_400_000 } }, "ttlMs is"],
    ["values over 1 MiB", { a: { maxValueBytes: 1_048_577 } }, "from 1 to 1048576"],
    [
      "a negative history",
      { a: { history: { maxChanges: -1 } } },
      'streams["a"].history.maxChanges is -1',
    ],
    [
      "text for a toggle",
      { a: { authors: "no" as never } },
      'authors is "no"; it may be true or false',
    ],
    [
      "a schema that does not compile",
      { a: { schema: { type: 1 } } },
      'streams["a"].schema is no JSON Schema',
    ],
    [
      "a misspelt setting",
      { a: { max_items: 1 } as never },
      "max_items is not a setting; it may be maxItems",
    ],
  ])("refuse %s", (_, streams, sentence) => {
    const create = () => new StreamTable({}, streams);
    expect(create).toThrow(StreamSettingError);
    expect(create).toThrow(sentence);
  });
});

function naive(streams: StreamsOptions, name: string) {
  const matching = Object.entries(streams)
    .filter(([pattern]) =>
      pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
    )
    // A name is longer than any beginning of it.
    .sort(([a], [b]) => (a === name ? 1 : b === name ? -1 : a.length - b.length));
  let merged = { ...DEFAULTS };
  for (const [, { history, ...keys }] of matching)
    merged = { ...merged, ...keys, history: { ...merged.history, ...history } } as typeof merged;
  return merged;
}
