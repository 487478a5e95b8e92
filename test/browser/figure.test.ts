import { describe, expect, it } from "vitest";
import { createHistory, figureOf, readable } from "../../web/demo/figure.js";

describe("a readable figure", () => {
  it.each([
    [0, "%", "0.0 %"],
    [7.25, "%", "7.3 %"],
    [100, "%", "100.0 %"],
    [0, "bytes", "0 bytes"],
    [1023, "bytes", "1023 bytes"],
    [1024, "bytes", "1 KiB"],
    [1536, "bytes", "1.50 KiB"],
    [25_234_567_890, "bytes", "23.5 GiB"],
    [3 * 1024 ** 5, "bytes", "3072 TiB"],
    [999, "bytes/s", "999 B/s"],
    [58_047, "bytes/s", "58.0 kB/s"],
    [-2500, "bytes/s", "-2.50 kB/s"],
    [6.184, "tasks", "6.18 tasks"],
    [123.4, "", "123 "],
  ])("shows %d %s as %s", (value, unit, text) => {
    const shown = readable(value, unit);
    expect(`${shown.number} ${shown.unit}`).toBe(text);
  });

  it("is read only from a valid value", () => {
    const figure = { label: "CPU", unit: "%", value: 3 };
    expect(figureOf({ ...figure, id: "cpu", at: "now" })).toEqual(figure);
    for (const other of [null, "CPU", 3, [], {}, { ...figure, value: "3" }, { value: 3 }])
      expect(figureOf(other)).toBeUndefined();
  });
});

describe("the history of a figure", () => {
  it("holds two minutes, and one value before them where the line starts", () => {
    const history = createHistory();
    for (let second = 0; second <= 300; second++) history.add(second * 1000, second);
    expect(history.points[0]).toEqual([179_000, 179]);
    expect(history.points.at(-1)).toEqual([300_000, 300]);
    expect(history.range(300_000)).toEqual({ min: 180, max: 300 });
  });

  it("has no range once all of its values are old", () => {
    const history = createHistory([[1000, 5]]);
    expect(history.range(121_000)).toEqual({ min: 5, max: 5 });
    expect(history.range(121_001)).toBeUndefined();
    expect(createHistory().range(0)).toBeUndefined();
  });

  it("keeps the last value of a time, and ignores values from the past", () => {
    const history = createHistory();
    history.add(2000, 1);
    history.add(2000, 2);
    history.add(1000, 9);
    expect(history.points).toEqual([[2000, 2]]);
  });
});
