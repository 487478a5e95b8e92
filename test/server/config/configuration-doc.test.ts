import { describe, expect, it } from "vitest";
import { KEYS, type Key } from "../../../src/server/config/keys.ts";
import { markOf, placeOf, readMarkdown, tableAfter } from "../../docs/markdown.ts";
import { load, problemsOf } from "./loading.ts";

const { text, snippets } = await readMarkdown("docs/configuration.md");
const files = snippets.filter(({ language }) => language === "yaml");

/** The expected row of the table for a key. */
function rowOf(key: Key): string[] {
  const value =
    Array.isArray(key.fallback) || key.kind === "map" ? "none" : `\`${String(key.fallback)}\``;
  const fallback = key.fallback === undefined ? "required" : value;
  return [
    `\`${key.name}\``,
    key.absent ?? fallback,
    key.variable === undefined ? "only in the file" : `\`${key.variable}\``,
    `${key.description} It may be ${key.may}.`,
  ];
}

describe("docs/configuration.md", () => {
  it("has every key with its default, its variable, and its allowed values", () => {
    const keys = KEYS.flatMap((key) => [key, ...key.items]);
    expect(tableAfter(text, "Keys")).toEqual(keys.map(rowOf));
  });

  it.each(files.map((file) => [placeOf(file), file] as const))(
    "shows in %s a valid file, or the server's sentences about it",
    async (_place, file) => {
      const given = {
        yaml: file.code,
        environment: {
          SERVICE_TOKEN: "s3cret",
          REDIS_PASSWORD: "s3cret",
          BACKEND_KEY: "s3cret",
          JWT_SECRET: "s3cret-s3cret-s3cret-s3cret-s3cret",
        },
      };
      if (markOf(file, "refused") === undefined) {
        await load(given);
        return;
      }
      const shown = snippets[snippets.indexOf(file) + 1]?.code ?? "";
      const problems = await problemsOf(given);
      expect(shown.split("\n")).toEqual([
        `millrace: the configuration has ${problems.length} mistakes:`,
        ...problems.map((problem) => `  ${problem}`),
      ]);
    },
  );
});
