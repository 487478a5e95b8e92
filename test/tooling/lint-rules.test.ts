import { expect, it } from "vitest";
import { lint } from "./lint.ts";
import { tempProject } from "./temp-project.ts";

const CONFIG = [".oxlintrc.json", "scripts/gate", "tsconfig.json"];

/** File -> its content and the rule that must refuse it. */
const PLANTED: Readonly<Record<string, readonly [content: string, rule: string]>> = {
  "src/core/any.ts": ["export const a: any = 1;\n", "typescript(no-explicit-any)"],
  "src/core/default.ts": ["export default 1;\n", "import(no-default-export)"],
  "src/core/cycle-a.ts": [
    'import { b } from "./cycle-b.ts";\nexport const a = () => b;\n',
    "import(no-cycle)",
  ],
  "src/core/cycle-b.ts": [
    'import { a } from "./cycle-a.ts";\nexport const b = () => a;\n',
    "import(no-cycle)",
  ],
  "src/live/type-cycle-a.ts": [
    'import type { B } from "./type-cycle-b.ts";\nexport type A = B | 1;\n',
    "import(no-cycle)",
  ],
  "src/live/type-cycle-b.ts": [
    'import type { A } from "./type-cycle-a.ts";\nexport interface B {\n  readonly a: A;\n}\n',
    "import(no-cycle)",
  ],
  "src/core/enum.ts": ["export enum Side {\n  Left,\n}\n", "millrace(no-enum)"],
  "src/core/ignore.ts": ["// @ts-ignore\nexport const a = 1;\n", "typescript(ban-ts-comment)"],
  "src/core/clock.ts": [
    "export const now = () => Date.now();\n",
    "eslint(no-restricted-properties)",
  ],
  "src/core/process.ts": ["export const id = process.pid;\n", "eslint(no-restricted-globals)"],
  "src/core/buffer.ts": [
    "export const empty = Buffer.alloc(0);\n",
    "eslint(no-restricted-globals)",
  ],
  "src/core/CamelCase.ts": ["export const a = 1;\n", "unicorn(filename-case)"],
  "src/core/long.ts": [`export const a = [\n${"  1,\n".repeat(400)}];\n`, "eslint(max-lines)"],
  "src/live/floating.ts": [
    "const work = async () => 1;\nexport const start = () => {\n  work();\n};\n",
    "typescript(no-floating-promises)",
  ],
  "src/live/misused.ts": [
    "const work = async () => true;\nexport const ok = () => (work() ? 1 : 2);\n",
    "typescript(no-misused-promises)",
  ],
  "src/live/thenable.ts": [
    "const a = 1;\nexport const b = async () => await a;\n",
    "typescript(await-thenable)",
  ],
  "src/live/switch.ts": [
    'export function f(a: "x" | "y"): void {\n  switch (a) {\n    case "x":\n      f("y");\n  }\n}\n',
    "typescript(switch-exhaustiveness-check)",
  ],
  "src/live/unsafe.ts": [
    "export const a = (text: string) => {\n  const b: string = JSON.parse(text);\n  return b;\n};\n",
    "typescript(no-unsafe-assignment)",
  ],
  "test/live/focused.test.ts": [
    'import { it } from "vitest";\nit.only("runs", () => {});\n',
    "vitest(no-focused-tests)",
  ],
};

it("each planted file is refused by its rule of the lint configuration", async () => {
  const contents = Object.entries(PLANTED).map(([file, [content]]) => [file, content] as const);
  const folder = await tempProject(CONFIG, Object.fromEntries(contents));
  const { status, problems } = await lint(folder);
  expect(status).not.toBe(0);
  const found = new Set(problems.map(({ file, rule }) => `${file} ${rule}`));
  const missed = Object.entries(PLANTED)
    .map(([file, [, rule]]) => `${file} ${rule}`)
    .filter((expected) => !found.has(expected));
  expect(missed).toEqual([]);
});
