import { existsSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { startPart, withCpu } from "../../bench/lib/parts.mjs";
import { scratchFolder, sweep } from "../../bench/lib/scratch.mjs";

afterAll(sweep);

describe("parts", () => {
  it("are processes that are asked things, and end", async () => {
    const part = await startPart("bare-http2");
    expect(part.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await part.residentBytes()).toBeGreaterThan(10_000_000);
    const { value, cpuSeconds } = await withCpu(part, async () => ({ value: 7 }));
    expect(value).toBe(7);
    expect(cpuSeconds).toBeGreaterThanOrEqual(0);
    await part.stop();
    await part.stop();
    await expect(part.call("cpuSeconds")).rejects.toThrow();
  });

  it("say what went wrong", async () => {
    await expect(startPart("no-such-part")).rejects.toThrow("no-such-part");
    const part = await startPart("bare-http2");
    await expect(part.call("fly")).rejects.toThrow("bare-http2 has no method fly");
    await part.stop();
  });

  it("fail what they were asked when they die", async () => {
    const folder = await scratchFolder();
    const part = await startPart("bare-log", { folder, keys: 1, valueBytes: 64 });
    const asked = part.call("put", { seconds: 60, inFlight: 1 });
    const [settled] = await Promise.all([Promise.allSettled([asked]), sweep()]);
    await expect(part.stop()).rejects.toThrow("ended (1)");
    expect(settled).toMatchObject([{ reason: { message: "The part bare-log ended (1)." } }]);
    expect(existsSync(folder)).toBe(false);
    await expect(part.call("cpuSeconds")).rejects.toThrow();
  });
});
