import { afterEach, describe, expect, it } from "vitest";
import type { Position } from "../../src/core/position.ts";
import type { Store } from "../../src/core/store.ts";
import { createStreamService } from "../../src/service/stream-service.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";

const GROUP = { streamName: "chat", groupId: "room" };
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A service over a store that notes how its log is read. */
function open(wrap: (store: Store) => Store = (store) => store) {
  const reads: string[] = [];
  const inner = memoryStore();
  const store: Store = {
    ...inner,
    since: (...args) => (reads.push("since"), inner.since(...args)),
    deltasSince: (...args) => (reads.push("deltasSince"), inner.deltasSince!(...args)),
  };
  const service = createStreamService({ store: wrap(store) });
  closers.push(() => service.close());
  const resume = async (deltas: boolean, from: Position) => {
    const frames = await service.subscribe({ ...GROUP, deltas, resumeFrom: from });
    const kinds: string[] = [];
    for (let i = 0; i < 4; i++) {
      const { value: frame } = await frames.next();
      if (frame?.kind === "change") kinds.push("ops" in frame ? "ops" : "data");
    }
    await frames.return?.();
    return kinds;
  };
  return { service, reads, resume };
}

/** A store whose log has whole values only. */
function withoutDeltas(store: Store): Store {
  const { deltasSince: _, ...whole } = store;
  return whole;
}

/** A text, and three appends to it. @returns the position of the text. */
async function write(service: ReturnType<typeof open>["service"]): Promise<Position> {
  const item = { ...GROUP, itemId: "a" };
  const { position } = await service.set({ ...item, data: { text: "x".repeat(500) } });
  for (let i = 0; i < 3; i++)
    await service.update({ ...item, ops: [{ type: "append", path: "text", value: "!" }] });
  return position;
}

describe("a resumed subscription with deltas", () => {
  it("reads the log as steps, not as whole values", async () => {
    const { service, reads, resume } = open();
    const position = await write(service);
    expect(await resume(true, position)).toEqual(["ops", "ops", "ops"]);
    expect(new Set(reads)).toEqual(new Set(["deltasSince"]));
  });

  it("reads whole values from a store that has no log of steps", async () => {
    const { service, reads, resume } = open(withoutDeltas);
    const position = await write(service);
    expect(await resume(true, position)).toHaveLength(3);
    expect(new Set(reads)).toEqual(new Set(["since"]));
  });
});

describe("a resumed subscription without deltas", () => {
  it("reads whole values", async () => {
    const { service, reads, resume } = open();
    const position = await write(service);
    expect(await resume(false, position)).toEqual(["data", "data", "data"]);
    expect(new Set(reads)).toEqual(new Set(["since"]));
  });
});
