import { describe, expect, it } from "vitest";
import { parseOptions } from "../../scripts/demo/options.mjs";

describe("the flags of the demo", () => {
  it("default to the service's default port and to no end", () => {
    expect(parseOptions([])).toEqual({ ticks: Infinity, port: 3112, data: undefined });
  });

  it("set the duration, at two ticks a second", () => {
    expect(parseOptions(["--seconds", "3", "--port", "4000"])).toMatchObject({
      ticks: 6,
      port: 4000,
    });
    expect(parseOptions(["--once", "--data", "here"])).toMatchObject({ ticks: 1, data: "here" });
  });

  it.each([
    [["--seconds", "soon"], '--seconds is "soon"; it may be an integer from 1 to 86400.'],
    [["--port", "0"], '--port is "0"; it may be an integer from 1 to 65535.'],
    [["--sekonds", "1"], "Unknown option '--sekonds'"],
  ])("refuse %s with a message", (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });
});
