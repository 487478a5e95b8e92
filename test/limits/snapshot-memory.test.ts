import { describe, expect, it, onTestFinished } from "vitest";
import { memoryStore } from "millrace";
import { createEngine } from "../../src/service/engine.ts";
import { Value } from "../../src/core/value.ts";
import { THIS_PROCESS } from "../../src/rights/caller.ts";
import { SnapshotMemory } from "../../src/limits/snapshot-memory.ts";

describe("memory of unread snapshots", () => {
  it("counts a piece once for any number of holders", () => {
    const memory = new SnapshotMemory(100);
    const piece = {};
    memory.hold(piece, () => 80);
    memory.hold(piece, () => 80);
    expect(memory.bytes).toBe(80);
    memory.release(piece);
    expect(memory.bytes).toBe(80);
    memory.release(piece);
    expect(memory.bytes).toBe(0);
  });

  it("refuses new subscriptions beyond the limit, until holders read or end", async () => {
    const engine = createEngine(memoryStore(), { maxSnapshotBytes: 150_000 });
    onTestFinished(() => engine.close());
    const follow = (groupId: string) =>
      engine.handlers.subscribe(
        {
          streamName: "s",
          groupId,
          itemId: undefined,
          resumeFrom: undefined,
        },
        THIS_PROCESS,
      );
    for (const groupId of ["a", "b", "c"])
      await engine.handlers.set(
        {
          streamName: "s",
          groupId,
          itemId: "i",
          data: Value.of("x".repeat(100_000)),
        },
        THIS_PROCESS,
      );
    const first = await follow("a");
    // The same snapshot is held once.
    const same = await follow("a");
    await expect(follow("b")).rejects.toMatchObject({
      reason: "OVERLOADED",
      metadata: { retry_after_ms: "1000" },
    });
    expect(first.ended || same.ended).toBe(false);
    expect(first.read()?.kind).toBe("sync");
    // A reader asks for more once its transport has taken the part.
    expect(first.read()).toBeUndefined();
    same.close();
    const other = await follow("b");
    expect(other.read()?.kind).toBe("sync");
  });

  it("ends the stalled subscriptions of the address that holds the most before it refuses others", async () => {
    const engine = createEngine(memoryStore(), { maxSnapshotBytes: 250_000 });
    onTestFinished(() => engine.close());
    for (const groupId of ["a", "b", "c"])
      await engine.handlers.set(
        {
          streamName: "s",
          groupId,
          itemId: "i",
          data: Value.of("x".repeat(100_000)),
        },
        THIS_PROCESS,
      );
    const follow = (groupId: string, address?: string) =>
      engine.handlers.subscribe({ streamName: "s", groupId, address }, THIS_PROCESS);
    const stalled = [await follow("a", "198.51.100.1"), await follow("b", "198.51.100.1")];
    const newcomer = await follow("c", "198.51.100.2");
    expect(newcomer.read()?.kind).toBe("sync");
    const reasons = stalled.map(({ error }) => error?.reason);
    expect(reasons.filter((reason) => reason !== undefined)).toEqual(["SLOW_SUBSCRIBER"]);
  });

  it("never ends a subscription in this process", async () => {
    const engine = createEngine(memoryStore(), { maxSnapshotBytes: 150_000 });
    onTestFinished(() => engine.close());
    for (const groupId of ["a", "b"])
      await engine.handlers.set(
        {
          streamName: "s",
          groupId,
          itemId: "i",
          data: Value.of("x".repeat(100_000)),
        },
        THIS_PROCESS,
      );
    const own = await engine.handlers.subscribe({ streamName: "s", groupId: "a" }, THIS_PROCESS);
    await expect(
      engine.handlers.subscribe({ streamName: "s", groupId: "b", address: "::1" }, THIS_PROCESS),
    ).rejects.toMatchObject({ reason: "OVERLOADED" });
    expect(own.read()?.kind).toBe("sync");
  });
});
