import { describe, expect, it } from "vitest";
import { doubledExports } from "../../scripts/gate/unique-exports.mjs";

describe("the check of exported names", () => {
  const sources = new Map([
    ["src/a.ts", "export interface Item {}\nexport const LIMIT = 1;\nconst hidden = 1;\n"],
    ["src/b.ts", "export async function open() {}\nexport type Item = string;\n"],
    [
      "src/c.ts",
      'export { LIMIT } from "./a.ts";\nexport abstract class Item {}\nconst hidden = 2;\n',
    ],
  ]);

  it("names every module that exports a name which another exports too", () => {
    expect(doubledExports(sources, {})).toEqual([
      "Item is exported by src/a.ts and src/b.ts and src/c.ts; rename one.",
    ]);
  });

  it("allows names that are shared on purpose, and no longer than they are shared", () => {
    expect(doubledExports(sources, { Item: "reason", LIMIT: "reason" })).toEqual([
      "LIMIT is exported only once; remove it from SHARED_NAMES.",
    ]);
  });
});
