import { describe, expect, it } from "vitest";
import type { Json } from "../../../src/core/value.ts";
import {
  GROUP,
  STORES,
  TEA,
  itemsOf,
  only,
  servicesOf,
  table,
  take,
  without,
} from "./custom-fixture.ts";

describe.each(STORES)("events of a custom stream over the $kind store", ({ open }) => {
  const services = servicesOf(open);

  it("have the author of the write, which the adapter does not receive", async () => {
    const service = await services();
    const rows = table();
    await service.createStream("stock", rows);
    const frames = await service.subscribe(GROUP);
    await service.registerFunction("shop", async () => {
      await service.set({ ...TEA, data: { n: 1 } });
      await service.update({ ...TEA, ops: [{ type: "increment", path: "n", by: 1 }] });
      await service.send({ ...GROUP, data: 1 });
      await service.delete(TEA);
      await service.set({ ...TEA, data: { n: 2 } });
    });
    await service.trigger({ function_id: "shop" });
    await service.set({ ...GROUP, itemId: "milk", data: { n: 3 } });
    const [, ...events] = await take(frames, 7);
    const shop = "function:shop";
    expect(events.map((frame) => "author" in frame && frame.author)).toEqual([
      ...Array<string>(5).fill(shop),
      "",
    ]);
    expect(await service.get(TEA)).toMatchObject({ data: { n: 2 }, author: shop });
    expect((await service.list(GROUP)).items).toMatchObject([
      { itemId: "tea", author: shop },
      { itemId: "milk", author: "" },
    ]);
    expect(rows.calls.flatMap(([, input]) => Object.keys(input))).not.toContain("author");
  });

  it("are creates, updates and deletes, with contiguous revisions and the full value (G2, G3)", async () => {
    const service = await services();
    await service.createStream("stock", table());
    const frames = await service.subscribe(GROUP);
    await service.set({ ...TEA, data: { n: 1 } });
    await service.update({ ...TEA, ops: [{ type: "increment", path: "n", by: 1 }] });
    await service.delete({ ...GROUP, itemId: "missing" });
    await service.set({ ...GROUP, itemId: "milk", data: "fresh" });
    await service.delete(TEA);
    await service.set({ ...TEA, data: null });
    const [sync, ...changes] = await take(frames, 6);
    expect(sync).toMatchObject({ kind: "sync", items: [], first: true, last: true });
    expect(
      changes.map((frame) =>
        frame.kind === "change"
          ? [frame.position.revision, frame.type, frame.itemId, frame.data]
          : frame.kind,
      ),
    ).toEqual([
      [1, "create", "tea", { n: 1 }],
      [2, "update", "tea", { n: 2 }],
      [3, "create", "milk", "fresh"],
      [4, "delete", "tea", { n: 2 }],
      [5, "create", "tea", null],
    ]);
    await frames.return?.();
  });

  it("follow a snapshot of the outside values at their position (G3, G10)", async () => {
    const service = await services();
    const stock = table({ old: { id: "old", n: 1 } });
    await service.createStream("stock", stock);
    const written = await service.set({ ...TEA, data: { n: 2 } });
    const frames = await service.subscribe(GROUP);
    await service.set({ ...GROUP, itemId: "old", data: { id: "old", n: 3 } });
    expect(await take(frames, 2)).toMatchObject([
      {
        kind: "sync",
        position: written.position,
        items: [
          { itemId: "old", data: { id: "old", n: 1 }, revision: 0 },
          { itemId: "tea", data: { n: 2 }, revision: 1 },
        ],
      },
      { kind: "change", type: "update", itemId: "old", position: { revision: 2 } },
    ]);
    await frames.return?.();
  });

  it("of one item come after its value", async () => {
    const service = await services();
    const stock = table({ tea: 1, milk: 1 });
    await service.createStream("stock", stock);
    const frames = await service.subscribe(TEA);
    await service.set({ ...GROUP, itemId: "milk", data: 2 });
    await service.set({ ...TEA, data: 2 });
    expect(await take(frames, 2)).toMatchObject([
      { kind: "sync", items: [{ itemId: "tea", data: 1, revision: 0 }], position: { revision: 0 } },
      { kind: "change", itemId: "tea", data: 2, position: { revision: 2 } },
    ]);
    await frames.return?.();
  });

  it("are replayed to resuming subscribers, without reading the snapshot (G4)", async () => {
    const service = await services();
    const stock = table();
    await service.createStream("stock", stock);
    const first = await service.set({ ...TEA, data: 1 });
    await service.set({ ...TEA, data: 2 });
    await service.delete(TEA);
    stock.calls.length = 0;
    const frames = await service.subscribe({ ...GROUP, resumeFrom: first.position });
    const late = await service.set({ ...TEA, data: 3 });
    expect(await take(frames, 4)).toMatchObject([
      { kind: "resumed", position: first.position },
      { kind: "change", type: "update", data: 2, position: { revision: 2 } },
      { kind: "change", type: "delete", data: 2, position: { revision: 3 } },
      { kind: "change", type: "create", data: 3, position: late.position },
    ]);
    expect(stock.calls.map(([method]) => method)).not.toContain("list");
    await frames.return?.();
  });

  it("from before the stream was custom are replayed like later ones (G4)", async () => {
    const service = await services();
    const before = await service.set({ ...TEA, data: 1 });
    await service.set({ ...TEA, data: 2 });
    await service.createStream("stock", without(table({ tea: 2 }), "update"));
    await service.set({ ...TEA, data: 3 });
    const frames = await service.subscribe({ ...GROUP, resumeFrom: before.position });
    expect((await take(frames, 3)).slice(1)).toMatchObject([
      { type: "update", data: 2, position: { revision: 2 } },
      { type: "update", data: 3, position: { revision: 3 } },
    ]);
    await frames.return?.();
  });

  it("made by send are delivered as in other streams", async () => {
    const service = await services();
    await service.createStream("stock", table());
    const frames = await service.subscribe(GROUP);
    await service.set({ ...TEA, data: 1 });
    await service.send({ ...GROUP, type: "typing", itemId: "tea", data: [1] });
    expect((await take(frames, 3)).slice(1)).toMatchObject([
      { kind: "change" },
      { kind: "event", type: "typing", itemId: "tea", data: [1] },
    ]);
    await frames.return?.();
  });

  it("fire triggers with the recorded event (G1)", async () => {
    const service = await services();
    await service.createStream("stock", table());
    const fired: Json[] = [];
    let done = () => {};
    const all = new Promise<void>((resolve) => (done = resolve));
    await service.registerFunction("on-change", (payload: Json) => {
      fired.push(payload);
      if (fired.length === 4) done();
    });
    await service.registerTrigger({
      type: "stream",
      function_id: "on-change",
      config: { stream_name: "stock", item_id: "tea" },
    });
    await service.set({ ...TEA, data: { n: 1 } });
    await service.set({ ...GROUP, itemId: "milk", data: 1 });
    await service.update({ ...TEA, ops: [{ type: "increment", path: "n", by: 1 }] });
    await service.send({ ...GROUP, itemId: "tea", data: "ping" });
    await service.delete({ ...GROUP, itemId: "missing" });
    await service.delete(TEA);
    await all;
    expect(fired).toMatchObject([
      {
        streamName: "stock",
        groupId: "shop",
        id: "tea",
        event: { type: "create", data: { n: 1 } },
      },
      { revision: 3, event: { type: "update", data: { n: 2 } } },
      { event: { type: "event", event: { type: "message", data: "ping" } } },
      { revision: 4, event: { type: "delete", data: { n: 2 } } },
    ]);
  });

  it("follow a snapshot of thousands of values in several parts", async () => {
    const service = await services();
    const count = 2500;
    const rows = Array.from({ length: count }, (_, i) => ({ id: `i${i}`, text: "x".repeat(200) }));
    await service.createStream("stock", { list: () => rows });
    const frames = await service.subscribe(GROUP);
    const ids: string[] = [];
    for (let last = false; !last;) {
      const [frame] = await take(frames, 1);
      if (frame?.kind !== "sync") throw new Error("Another frame came.");
      expect(frame.first).toBe(ids.length === 0);
      expect(frame.position).toEqual({ epoch: "", revision: 0 });
      ids.push(...frame.items.map(({ itemId }) => itemId));
      ({ last } = frame);
    }
    expect(ids).toEqual(rows.map(({ id }) => id));
    await frames.return?.();
  });
});

describe("ids in a snapshot of a custom stream", () => {
  const services = servicesOf();

  it("are those under which the values were written, whatever the order of their keys", async () => {
    const service = await services();
    let rows: unknown[] = [];
    await service.createStream("stock", { list: () => rows });
    await service.set({ ...GROUP, itemId: "a", data: { y: [{ q: 2, p: 1 }], id: "own", x: 1 } });
    await service.set({ ...GROUP, itemId: "b", data: "text" });
    await service.set({ ...GROUP, itemId: "c", data: 3 });
    rows = ["text", { x: 1, y: [{ p: 1, q: 2 }], id: "own" }];
    expect(await itemsOf(service)).toEqual([
      ["b", "text", 2],
      ["a", { id: "own", x: 1, y: [{ p: 1, q: 2 }] }, 1],
    ]);
  });

  it("are assigned in turn to equal values, each at most once", async () => {
    const service = await services();
    await service.createStream("stock", { list: () => ["same", "same", "same"] });
    await service.set({ ...GROUP, itemId: "a", data: "same" });
    await service.set({ ...GROUP, itemId: "b", data: "same" });
    expect(await itemsOf(service)).toEqual([
      ["a", "same", 1],
      ["b", "same", 2],
      ["", "same", 0],
    ]);
  });

  it("fall back to the id field of the value, with the recorded revision and times of that item", async () => {
    const service = await services();
    await service.createStream("stock", {
      list: () => [
        { id: "new", n: 1 },
        { id: "tea", n: "changed behind" },
      ],
    });
    await service.set({ ...TEA, data: { id: "tea", n: 1 } });
    const { items } = await service.list(GROUP);
    expect(items).toMatchObject([
      { itemId: "new", revision: 0, createTime: new Date(0) },
      { itemId: "tea", data: { id: "tea", n: "changed behind" }, revision: 1 },
    ]);
  });

  it("are empty for values without an id that is a valid name", async () => {
    const service = await services();
    const rows = [
      "text",
      7,
      ["id"],
      {},
      { id: 7 },
      { id: null },
      { id: "" },
      { id: "x".repeat(257) },
      { id: "é".repeat(129) },
      { id: "line\nbreak" },
      { nested: { id: "a" } },
    ];
    await service.createStream("stock", { list: () => rows });
    const items = await itemsOf(service);
    expect(items.map(([itemId]) => itemId)).toEqual(rows.map(() => ""));
    expect(items.map(([, data]) => data)).toEqual(rows);
  });

  it("are never assigned twice", async () => {
    const service = await services();
    await service.createStream("stock", {
      list: () => [{ id: "tea", n: 2 }, "written as tea", { id: "milk" }, { id: "milk", n: 2 }],
    });
    await service.set({ ...TEA, data: "written as tea" });
    const items = await itemsOf(service);
    expect(items.map(([itemId, , revision]) => [itemId, revision])).toEqual([
      ["", 0],
      ["tea", 1],
      ["milk", 0],
      ["", 0],
    ]);
  });

  it("are forgotten with a removed item", async () => {
    const service = await services();
    const stock = table();
    await service.createStream("stock", { ...only(stock, "set", "delete"), list: () => ["a"] });
    await service.set({ ...TEA, data: "a" });
    expect(await itemsOf(service)).toEqual([["tea", "a", 1]]);
    await service.delete(TEA);
    expect(await itemsOf(service)).toEqual([["", "a", 0]]);
  });
});
