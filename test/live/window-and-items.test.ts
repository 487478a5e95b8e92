import { describe, expect, it } from "vitest";
import type { Item } from "../../src/core/change.ts";
import type { SyncFrame } from "../../src/core/frame.ts";
import type { StateReader } from "../../src/live/state-reader.ts";
import { windowAndItems } from "../../src/live/window-and-items.ts";
import { Value } from "../../src/core/value.ts";

const item = (itemId: string, revision: number): Item => ({
  ...{ itemId, revision, value: Value.of(1), createTimeMs: 1, updateTimeMs: 1, author: "" },
});
const frame = (revision: number, items: readonly Item[], first = true, last = true): SyncFrame => ({
  ...{ kind: "sync", items, position: { epoch: "e", revision }, first, last, timestamp: 1 },
});
const readerOf = (...frames: SyncFrame[]): StateReader => ({
  next: async () => frames.shift() as SyncFrame,
  close() {},
});

/** What is read when a window at revision 10 is read before an item. */
async function read(items: SyncFrame) {
  const window = readerOf(
    frame(10, [item("new", 9)], true, false),
    frame(10, [item("newer", 10)], false),
  );
  const all = frame(12, [item("all", 12)]);
  const reader = windowAndItems({
    window,
    items: readerOf(items),
    itemCount: 1,
    all: () => readerOf(all),
  });
  return [await reader.next(), all] as const;
}

describe("a window and an item that may be outside of it", () => {
  it("are read at one position", async () => {
    const [part] = await read(frame(10, [item("old", 2)]));
    expect(part).toMatchObject({ items: [{ itemId: "new" }], beside: [{ itemId: "old" }] });
  });

  it("are read at one position when the group, but not the item, changed meanwhile", async () => {
    const [part] = await read(frame(11, [item("old", 2)]));
    expect(part.beside).toMatchObject([{ itemId: "old" }]);
  });

  it.each([
    ["the item changed", frame(11, [item("old", 11)])],
    ["the item is gone", frame(11, [])],
    [
      "the epoch is another",
      { ...frame(10, [item("old", 2)]), position: { epoch: "f", revision: 10 } },
    ],
  ])("are those of a snapshot of the whole group when %s meanwhile", async (_, items) => {
    const [part, all] = await read(items);
    expect(part).toBe(all);
  });

  it("are at one position when the item does not exist and nothing changed", async () => {
    const [part] = await read(frame(10, []));
    expect(part).toMatchObject({ items: [{ itemId: "new" }], beside: [] });
  });
});
