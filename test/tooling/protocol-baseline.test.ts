import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  BASELINE,
  BREAKING_CHANGES,
  baselineProblem,
  updateBaseline,
} from "../../scripts/gate/protocol-baseline.mjs";
import { tempProject } from "./temp-project.ts";

const TYPES = "proto/millrace/v1/types.proto";

/** A copy of the protocol without Git, with a text of types.proto replaced. */
async function protocolWith(before: string, after: string): Promise<string> {
  const folder = await tempProject(["proto", "third_party", "buf.yaml"]);
  const text = await readFile(join(folder, TYPES), "utf8");
  expect(text).toContain(before);
  await writeFile(join(folder, TYPES), text.replace(before, after));
  return folder;
}

const baselineOf = async (folder: string) => readFile(join(folder, BASELINE), "utf8");

const BREAKS = [
  ["a field with another number", "string epoch = 1;", "string epoch = 9;", /"epoch".*deleted/],
  ["a field of another type", "uint64 revision = 2;", "int64 revision = 2;", /changed type/],
  ["a field with another name", "string epoch = 1;", "string era = 1;", /"epoch" to "era"/],
  ["another Java package", 'java_package = "com.', 'java_package = "org.', /java_package/],
] as const;

const ADDITION = [
  "string epoch = 1;",
  "string epoch = 1;\n  // More.\n  string more = 77;",
] as const;

describe("the check of the protocol against its baseline", () => {
  it("passes for the project as it is", async () => {
    const folder = await tempProject(["proto", "third_party", "buf.yaml"]);
    expect(await baselineProblem(folder)).toBeUndefined();
  });

  it.each(BREAKS)("refuses %s", async (_, before, after, says) => {
    const problem = await baselineProblem(await protocolWith(before, after));
    expect(problem).toMatch(says);
    expect(problem).toContain('npm run gen -- --breaking "REASON"');
  });

  it("asks for an addition to be written into the baseline, which then passes", async () => {
    const folder = await protocolWith(...ADDITION);
    expect(await baselineProblem(folder)).toBe(
      "proto/baseline.txtpb is not what the proto files say.\nRun npm run gen and commit the result.",
    );
    await updateBaseline(folder, undefined);
    expect(await baselineProblem(folder)).toBeUndefined();
  });

  it("reports what is wrong with proto files that cannot be parsed", async () => {
    const folder = await protocolWith("string epoch = 1;", "string epoch = ;");
    expect(await baselineProblem(folder)).toMatch(/^proto\/millrace\/v1\/types\.proto:\d+/);
  });
});

describe("an update of the baseline", () => {
  it("refuses to break clients without a reason, and leaves the baseline unchanged", async () => {
    const [, before, after, says] = BREAKS[0];
    const folder = await protocolWith(before, after);
    const baseline = await baselineOf(folder);
    await expect(updateBaseline(folder, undefined)).rejects.toThrow(says);
    expect(await baselineOf(folder)).toBe(baseline);
  });

  it("breaks clients with a reason, and records it with the changes", async () => {
    const [, before, after, says] = BREAKS[0];
    const folder = await protocolWith(before, after);
    await updateBaseline(folder, "epochs move");
    expect(await baselineProblem(folder)).toBeUndefined();
    const kept = await readFile(join(folder, BREAKING_CHANGES), "utf8");
    expect(kept).toMatch(/^## \d{4}-\d\d-\d\d: epochs move\n\n- proto\/millrace/m);
    expect(kept).toMatch(says);
  });
});
