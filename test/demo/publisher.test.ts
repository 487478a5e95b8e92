import { describe, expect, it } from "vitest";
import { mutationsOf } from "../../scripts/demo/publisher.mjs";

describe("the changes of one tick", () => {
  it("set every figure, with its id in the value, and delete items without a figure", () => {
    const figure = { id: "cpu-0", label: "CPU core 0", unit: "%", value: 7.5 };
    const at = new Date("2026-01-02T03:04:05.678Z");
    expect(mutationsOf([figure], at, new Set(["cpu-0", "cpu-1"]))).toEqual([
      { set: { itemId: "cpu-0", data: { ...figure, at: "2026-01-02T03:04:05.678Z" } } },
      { delete: { itemId: "cpu-1" } },
    ]);
  });
});
