import { describe, expect, it } from "vitest";
import { closingLine, tally } from "../../scripts/gate/closing-line.mjs";

const passed = (name: string) => ({ name, state: "passed" as const });
const failed = (name: string) => ({ name, state: "failed" as const });
const skipped = (name: string, reason?: string) => ({
  name,
  state: "skipped" as const,
  ...(reason !== undefined && { reason }),
});
const lineOf = (...args: Parameters<typeof tally>) => closingLine(tally(...args));

describe("the closing line", () => {
  it("counts each static check as one test", () => {
    const checks = [
      { name: "types", ok: true },
      { name: "format", ok: false },
    ];
    const results = { tests: [passed("a"), passed("b"), failed("c")], errors: [] };
    expect(lineOf(checks, results, 1)).toBe("3 passed, 2 failed");
    expect(tally(checks, results, 1).notes).toEqual(["failed: format", "failed: c"]);
  });

  it("names skipped tests with their reasons, and only then has a third part", () => {
    const results = { tests: [passed("a"), skipped("b", "needs a disk of its own")], errors: [] };
    expect(lineOf([], results, 0)).toBe("1 passed, 0 failed, 1 skipped");
    expect(tally([], results, 0).notes).toEqual(["skipped: b: needs a disk of its own"]);
    expect(lineOf([], { tests: [passed("a")], errors: [] }, 0)).toBe("1 passed, 0 failed");
  });

  it.each([undefined, ""])("counts a test skipped with reason %j as failed", (reason) => {
    const results = { tests: [passed("a"), skipped("b", reason)], errors: [] };
    expect(lineOf([], results, 0)).toBe("1 passed, 1 failed");
  });

  it("counts each error outside of tests as failed", () => {
    const results = { tests: [passed("a")], errors: ["x.test.ts: cannot be loaded", "unhandled"] };
    expect(lineOf([], results, 1)).toBe("1 passed, 2 failed");
  });

  it("fails when no test ran, even if every check passed", () => {
    const checks = [{ name: "types", ok: true }];
    expect(lineOf(checks, { tests: [], errors: [] }, 0)).toBe("1 passed, 1 failed");
    const onlySkipped = { tests: [skipped("a", "why")], errors: [] };
    expect(lineOf(checks, onlySkipped, 0)).toBe("1 passed, 1 failed, 1 skipped");
  });

  it("fails when the runner left no results, or ended badly without saying why", () => {
    expect(lineOf([], undefined, 0)).toBe("0 passed, 1 failed");
    expect(lineOf([], { tests: [passed("a")], errors: [] }, 3)).toBe("1 passed, 1 failed");
  });
});
