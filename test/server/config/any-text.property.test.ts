import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readFileLayer } from "../../../src/server/config/file-layer.ts";
import { judge } from "../../../src/server/config/validate.ts";
import { KEYS } from "../../../src/server/config/keys.ts";

/** Pieces of files, to be combined at random. */
const piece = fc.oneof(
  fc.constantFrom(
    ...["\n", "\n  ", "\n- ", ": ", " ", ", ", "[", "]", "{", "}", '"', "'", "#", "|\n"],
  ),
  fc.constantFrom(
    ...["&a ", "*a", "<<: ", "!!str ", "? ", "---\n", "%YAML 1.1\n", "\t", "~", "\uE000"],
  ),
  fc.constantFrom(...["${A}", "${B}", "${UNSET}", "${A:x}", "${A:", "${", "}", "${UNSET:[1, *a]}"]),
  fc.constantFrom(...["workers:\n- ", "modules: ", "name: iii-stream\n  config: ", "class: "]),
  fc.constantFrom(...KEYS.flatMap(({ path }) => path.map((part) => `${part}: `))),
  fc.constantFrom("1", "15s", "8MiB", "kv", "true", "null", "a.b"),
  fc.string({ maxLength: 5, unit: "binary" }),
);
const text = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(""));
const ENVIRONMENT = { A: "1", B: "{ port: [*a, ${A}, " };

describe("any text at all", () => {
  it("is a configuration, or is refused with sentences that name the line", () => {
    fc.assert(
      fc.property(text, (source) => {
        const layer = readFileLayer(source, "f.yaml", ENVIRONMENT);
        const sentences = [
          ...layer.problems,
          ...[...layer.findings, ...judge(layer.input)].map(
            ({ path, complaint }) => `${layer.subjectOf(path)} ${complaint}`,
          ),
        ];
        for (const sentence of sentences) expect(sentence).toMatch(/^f\.yaml:\d+: \S/);
        if (!source.includes("\uE000")) expect(sentences.join()).not.toMatch(/[\uE000-\uE00F]/);
      }),
      { numRuns: 500 },
    );
  });
});
