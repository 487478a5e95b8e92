import { describe, expect, it } from "vitest";
import { DURATION, SIZE } from "../../../src/server/config/units.ts";

describe("durations", () => {
  it.each([
    ["0ms", 0],
    ["500ms", 500],
    ["15s", 15_000],
    ["15 s", 15_000],
    ["1.1s", 1100],
    ["1.5h", 5_400_000],
    ["90m", 5_400_000],
    ["7d", 604_800_000],
  ])("read %s as %d milliseconds", (text, amount) => {
    expect(DURATION.parse(text)).toBe(amount);
  });

  it.each([
    "",
    "15",
    "s",
    "1 hour",
    "-1s",
    "1e3s",
    "15S",
    "0.5ms",
    "1h30m",
    "15s ",
    "999999999999999d",
  ])("do not include %j", (text) => {
    expect(DURATION.parse(text)).toBeNaN();
  });

  it.each([
    [0, "0ms"],
    [1500, "1500ms"],
    [60_000, "1m"],
    [5_400_000, "90m"],
    [3_600_000, "1h"],
    [86_400_000, "1d"],
  ])("write %d milliseconds as %s", (amount, text) => {
    expect(DURATION.format(amount)).toBe(text);
  });
});

describe("sizes", () => {
  it.each([
    ["512B", 512],
    ["64KiB", 65_536],
    ["8 MiB", 8_388_608],
    ["1.5GiB", 1_610_612_736],
    ["1TiB", 1_099_511_627_776],
  ])("read %s as %d bytes", (text, amount) => {
    expect(SIZE.parse(text)).toBe(amount);
  });

  it.each(["", "8", "8MB", "8M", "8mib", "0.5B", "-1B", "1e3B", "9007199254740993B"])(
    "do not include %j",
    (text) => {
      expect(SIZE.parse(text)).toBeNaN();
    },
  );

  it.each([
    [0, "0B"],
    [1000, "1000B"],
    [1024, "1KiB"],
    [8_388_608, "8MiB"],
    [1_099_511_627_776, "1TiB"],
  ])("write %d bytes as %s", (amount, text) => {
    expect(SIZE.format(amount)).toBe(text);
  });
});
