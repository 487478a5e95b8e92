import { describe, expect, it } from "vitest";
import { type TriggerRequest, createStreamService, memoryStore } from "millrace";
import { readTrigger, writeTrigger } from "../../src/triggers/definition.ts";

const request = (config: object, type = "stream"): TriggerRequest => ({
  type,
  function_id: "f",
  config: { stream_name: "chat", ...config },
});
const message = (config: object, type?: string): string => {
  try {
    readTrigger(request(config, type));
  } catch (error) {
    expect(error).toMatchObject({ code: "trigger_invalid" });
    return (error as Error).message;
  }
  throw new Error("it is not refused");
};

describe("the config of a trigger", () => {
  it.each(["stream", "stream:write"])(
    "of type %s refuses streams of presence, which fire none",
    (type) => {
      const text = message({ stream_name: "millrace:presence:chat" }, type);
      expect(text).toBe(
        'config.stream_name is "millrace:presence:chat", a stream of presence, which fires no triggers; it may be that of another stream.',
      );
      const durable = { durable: "a", start: "state" };
      const config = { stream_name: "millrace:presence:chat", ...durable };
      if (type === "stream") expect(message(config)).toBe(text);
    },
  );
});

describe("the config of a durable trigger", () => {
  it("takes a name, start and max_away, and has defaults", () => {
    const read = (config: object) => writeTrigger(readTrigger(request(config)).definition).config;
    expect(read({ durable: "audit" })).toEqual({
      stream_name: "chat",
      durable: "audit",
      max_away: "7d",
    });
    const given = { durable: "é ".repeat(80), start: "state", max_away: "90s" };
    expect(read(given)).toEqual({ stream_name: "chat", ...given });
    expect(read({ durable: null, start: "", max_away: null })).toEqual({ stream_name: "chat" });
    for (const max_away of ["1s", "59m", "12h", "366d"])
      expect(read({ durable: "a", max_away })).toMatchObject({ max_away });
    expect(read({ durable: "a", max_away: "120s" })).toMatchObject({ max_away: "2m" });
  });

  it.each([
    ["", "is empty"],
    ["a".repeat(257), "is too long"],
    ["a\u0000b", "has a control character"],
    ["\ud800", "is not valid Unicode"],
    [7, "is not a string"],
  ])("refuses the name %j, and says what it may be", (durable, why) => {
    const text = message({ durable });
    expect(text).toContain(`config.durable ${why}`);
    expect(text).toContain("1 to 256 bytes of UTF-8 without control characters");
  });

  it.each([["states"], [true], [{}], ["STATE"]])("refuses start: %j", (start) => {
    expect(message({ durable: "a", start })).toMatch(/config\.start .*it may be "state"/);
  });

  it.each([["0s"], ["500ms"], ["1.5h"], ["367d"], [60_000], ["soon"], ["-1s"]])(
    "refuses max_away: %j",
    (max_away) => {
      expect(message({ durable: "a", max_away })).toMatch(/config\.max_away .*from 1s to 366d/);
    },
  );

  it("refuses start and max_away without a name", () => {
    expect(message({ start: "state" })).toContain("config.start needs config.durable");
    expect(message({ max_away: "1d" })).toContain("config.max_away needs config.durable");
  });

  it.each(["stream:join", "stream:write"])("is refused for gates: %s (G8)", (type) => {
    expect(message({ durable: "a" }, type)).toContain(`a ${type} trigger stays in force by itself`);
  });

  it("is refused for a name of a trigger of another type", async () => {
    const service = createStreamService({ store: memoryStore() });
    await service.registerTrigger(request({ durable: "a" }));
    await expect(
      service.registerTrigger({ type: "stream:leave", function_id: "f", config: { durable: "a" } }),
    ).rejects.toMatchObject({
      code: "trigger_invalid",
      message: expect.stringContaining("config.durable is the name of a stream trigger") as string,
    });
    await service.close();
  });
});
