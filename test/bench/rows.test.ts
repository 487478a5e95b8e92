import { describe, expect, it } from "vitest";
import {
  CPU_MICROS,
  type Round,
  perSecond,
  plainRow,
  ratioAtLeast,
  ratioAtMost,
  rowOf,
  valueAtMost,
} from "../../bench/lib/row.mjs";
import { rowTable, shown, table } from "../../bench/lib/table.mjs";

const round = (ops: number, cpuSeconds?: number): Round => ({
  ops,
  seconds: 2,
  p50Ms: 1,
  p99Ms: 3,
  ...(cpuSeconds !== undefined && { cpuSeconds }),
});

const CALLS = perSecond("calls");

describe("rows", () => {
  it("compare pair by pair, and judge the median ratio", () => {
    const row = rowOf({
      what: "Set",
      metric: CALLS,
      ours: [round(100), round(300), round(420)],
      against: { name: "stock", rounds: [round(100), round(100), round(100)] },
      target: ratioAtLeast(3),
    });
    expect(row.ours.values).toEqual([50, 150, 210]);
    expect(row.ratios).toEqual([1, 3, 4.2]);
    expect(row.target).toEqual({ text: ">= 3x", met: true });
    expect(row.noisy).toBe(true);
  });

  it("judge our own values where the target is about them", () => {
    const ours = { values: [11_000, 12_500] };
    const metric = { name: "memory", unit: "bytes" };
    const row = plainRow({ what: "idle", metric, ours, target: valueAtMost(12_000) });
    expect(row.target).toEqual({ text: "<= 12,000", met: true });
    expect(row.ratios).toBeUndefined();
  });

  it("do not take what is no number for good enough", () => {
    const row = rowOf({
      what: "Set",
      metric: CPU_MICROS,
      ours: [round(100)],
      against: { name: "empty", rounds: [round(100)] },
      target: ratioAtMost(1.2),
    });
    expect(row.target?.met).toBe(false);
  });

  it("say what an operation cost the server, where that is known", () => {
    const ours = [round(1000, 0.5)];
    const row = rowOf({ what: "Set", metric: CALLS, ours });
    expect(row.ours.cpuMicros).toEqual([500]);
    expect(rowOf({ what: "Set", metric: CALLS, ours: [round(1)] }).ours.cpuMicros).toBeUndefined();
  });
});

describe("the table", () => {
  it("aligns its columns", () => {
    expect(table(["a", "long"], [["wide cell", "1"]])).toBe(
      ["| a         | long |", "| --------- | ---- |", "| wide cell | 1    |"].join("\n"),
    );
  });

  it("shows rows with their ratios, targets and noise", () => {
    const row = rowOf({
      what: "Set",
      metric: CALLS,
      ours: [round(2000, 0.1), round(4000, 0.1)],
      against: { name: "stock", rounds: [round(1000, 0.2), round(1000, 0.2)] },
      target: ratioAtLeast(5),
    });
    const [head = "", , line = ""] = rowTable([row]).split("\n");
    const cells = (text: string) => text.split("|").map((cell) => cell.trim());
    expect(cells(head)).toContain("target");
    expect(cells(line).slice(1, -1)).toEqual([
      "Set",
      "calls/s",
      "1,500",
      "stock",
      "500",
      "3.00 (2.00 to 4.00)",
      "37.5",
      "200",
      ">= 5x",
      "no",
      "noisy",
    ]);
  });

  it("shows numbers with three digits, or all of a whole number", () => {
    expect([0.012345, 1.5, 99.94, 1234.5, Number.NaN].map(shown)).toEqual([
      "0.0123",
      "1.50",
      "99.9",
      "1,235",
      "?",
    ]);
  });
});
