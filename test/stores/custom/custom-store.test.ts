import { describe, expect, it } from "vitest";
import { GROUP, TEA, itemsOf, only, servicesOf, table, take, without } from "./custom-fixture.ts";

describe("a custom stream", () => {
  const services = servicesOf();

  it("is read and written by the functions of its adapter", async () => {
    const service = await services();
    const stock = table({ tea: { n: 4 } });
    await service.createStream("stock", stock);
    const updated = await service.update({
      ...TEA,
      ops: [{ type: "decrement", path: "n", by: 1 }],
    });
    expect(updated).toMatchObject({ oldValue: { n: 4 }, newValue: { n: 3 }, created: false });
    expect(await service.set({ ...GROUP, itemId: "milk", data: { n: 1 } })).toMatchObject({
      oldValue: undefined,
      newValue: { n: 1 },
      created: true,
    });
    expect(await service.get(TEA)).toMatchObject({ itemId: "tea", data: { n: 3 }, revision: 1 });
    expect(await service.delete(TEA)).toMatchObject({
      oldValue: { n: 3 },
      position: { revision: 3 },
    });
    expect(await service.get(TEA)).toBeUndefined();
    expect(await itemsOf(service)).toEqual([["milk", { n: 1 }, 2]]);
    expect((await service.listGroups({ streamName: "stock" })).groups).toEqual(["shop"]);
    expect(stock.rows).toEqual(new Map([["milk", { n: 1 }]]));
  });

  it("calls each function with its names and data, and nothing else", async () => {
    const service = await services();
    const stock = table();
    await service.createStream("stock", stock);
    const item = { stream_name: "stock", group_id: "shop", item_id: "tea" };
    const data = { a: [1, null, "é\u{1f600}\u2028"], b: {} };
    const calls = async (call: Promise<unknown>) => {
      await call;
      return stock.calls.splice(0);
    };
    expect(await calls(service.set({ ...TEA, data }))).toEqual([
      ["get", item],
      ["set", { ...item, data }],
    ]);
    const ops = [
      { type: "merge", path: ["a", "b"], value: { c: 1 } },
      { type: "increment", path: "n", by: 2 },
    ] as const;
    expect(await calls(service.update({ ...TEA, ops }))).toEqual([
      ["get", item],
      ["update", { ...item, ops }],
      // The update did not return the new value.
      ["get", item],
    ]);
    expect(await calls(service.get(TEA))).toEqual([["get", item]]);
    expect(await calls(service.delete(TEA))).toEqual([
      ["get", item],
      ["delete", item],
    ]);
    const { item_id: _itemId, ...group } = item;
    expect(await calls(service.list(GROUP))).toEqual([["list", group]]);
    expect(await calls(service.listGroups({ streamName: "stock" }))).toEqual([
      ["listGroups", { stream_name: "stock" }],
    ]);
    expect(await calls(service.send({ ...GROUP, data: 1 }))).toEqual([]);
  });

  it("has functions that can be called like any other", async () => {
    const service = await services();
    const stock = table({ tea: 1 });
    await service.createStream("stock", stock);
    const payload = { stream_name: "stock", group_id: "shop", item_id: "tea" };
    expect(await service.trigger({ function_id: "stream::get(stock)", payload })).toBe(1);
    expect(await service.trigger({ function_id: "stream::get", payload })).toBe(1);
  });

  it("may have any name that a stream may have", async () => {
    const service = await services();
    for (const streamName of ["a)", "(b", "stream::get(x)", "é ".repeat(80)]) {
      const stock = table();
      await service.createStream(streamName, stock);
      await service.set({ ...TEA, streamName, data: 1 });
      expect(stock.rows).toEqual(new Map([["tea", 1]]));
    }
    await expect(service.createStream("", table())).rejects.toMatchObject({
      reason: "NAME_INVALID",
    });
  });

  it("does not affect an ordinary stream beside it", async () => {
    const service = await services();
    const stock = table();
    await service.createStream("stock", stock);
    const other = { ...TEA, streamName: "stocks" };
    await service.set({ ...other, data: 1, expectedRevision: 0 });
    expect(stock.calls).toEqual([]);
    expect(await service.get(other)).toMatchObject({ data: 1 });
    expect((await service.listGroups({ streamName: "stocks" })).groups).toEqual(["shop"]);
  });

  it("is read from the outside, also after changes made behind the service, which have no events", async () => {
    const service = await services();
    const stock = table();
    await service.createStream("stock", stock);
    const { position } = await service.set({ ...TEA, data: { id: "tea", n: 1 } });
    const frames = await service.subscribe(GROUP);
    stock.rows.set("tea", { id: "tea", n: 9 }).set("milk", { id: "milk" });
    expect(await service.get(TEA)).toMatchObject({ data: { n: 9 }, revision: 1 });
    expect(await service.list(GROUP)).toMatchObject({
      items: [{ itemId: "tea", data: { n: 9 } }, { itemId: "milk" }],
      position,
    });
    await service.send({ ...GROUP, data: "next" });
    expect((await take(frames, 2))[1]).toMatchObject({ kind: "event" });
    await frames.return?.();
  });

  it("has the groups written through the service in the list of all streams", async () => {
    const service = await services();
    await service.createStream("stock", table({ unseen: 1 }));
    await service.set({ ...TEA, groupId: "seen", data: 1 });
    await service.set({ ...TEA, streamName: "other", data: 1 });
    expect(await service.listAll()).toMatchObject({
      streams: [
        { streamName: "other", groups: ["shop"] },
        { streamName: "stock", groups: ["seen"] },
      ],
      count: 2,
    });
  });
});

describe("the part that an adapter leaves out", () => {
  const services = servicesOf();

  it("is everything: then the stream is an ordinary one", async () => {
    const service = await services();
    await service.createStream("stock", {});
    await service.set({ ...TEA, data: 1, expectedRevision: 0 });
    expect(await itemsOf(service)).toEqual([["tea", 1, 1]]);
  });

  it("is get: then items are read as written through the service", async () => {
    const service = await services();
    const stock = table({ tea: "unseen" });
    await service.createStream("stock", without(stock, "get"));
    expect(await service.get(TEA)).toBeUndefined();
    expect(await service.set({ ...TEA, data: 1 })).toMatchObject({ created: true });
    stock.rows.set("tea", "changed behind");
    expect(await service.get(TEA)).toMatchObject({ data: 1, revision: 1 });
    expect(await service.set({ ...TEA, data: 2 })).toMatchObject({ oldValue: 1, created: false });
    expect(await service.delete(TEA)).toMatchObject({ oldValue: 2 });
    expect(stock.rows).toEqual(new Map());
  });

  it("is set: then values are written to the store, and get still reads the outside", async () => {
    const service = await services();
    const stock = table({ tea: "outside" });
    await service.createStream("stock", only(stock, "get"));
    expect(await service.set({ ...TEA, data: 1 })).toMatchObject({
      oldValue: "outside",
      newValue: 1,
      created: false,
    });
    expect(stock.rows.get("tea")).toBe("outside");
    expect(await service.get(TEA)).toMatchObject({ data: "outside", revision: 1 });
    expect(await itemsOf(service)).toEqual([["tea", 1, 1]]);
  });

  it("is update: then updates read, reduce and set", async () => {
    const service = await services();
    const stock = table({ tea: { n: 4 } });
    await service.createStream("stock", without(stock, "update"));
    const done = await service.update({
      ...TEA,
      ops: [
        { type: "decrement", path: "n", by: 1 },
        { type: "increment", path: "missing", by: 2 },
        { type: "append", path: "n", value: 1 },
      ],
    });
    expect(done).toMatchObject({
      oldValue: { n: 4 },
      newValue: { n: 3, missing: 2 },
      created: false,
      errors: [{ opIndex: 2, code: "append.type_mismatch" }],
    });
    expect(stock.calls.map(([method]) => method)).toEqual(["get", "set"]);
    expect(stock.rows.get("tea")).toEqual({ n: 3, missing: 2 });
  });

  it("is update and set: then updates reduce the value of get into the store", async () => {
    const service = await services();
    await service.createStream("stock", only(table({ tea: 4 }), "get"));
    const ops = [{ type: "increment", path: "", by: 1 }] as const;
    expect(await service.update({ ...TEA, ops })).toMatchObject({ oldValue: 4, newValue: 5 });
    expect(await itemsOf(service)).toEqual([["tea", 5, 1]]);
  });

  it("is delete: then items are removed from the store", async () => {
    const service = await services();
    const stock = table({ tea: 4 });
    await service.createStream("stock", without(stock, "delete", "list", "listGroups"));
    await service.set({ ...TEA, data: 5 });
    expect(await service.delete(TEA)).toMatchObject({ oldValue: 5, position: { revision: 2 } });
    expect(await itemsOf(service)).toEqual([]);
    expect(stock.rows.get("tea")).toBe(5);
  });

  it("is list: then a group has the values written through the service, page by page", async () => {
    const service = await services();
    const stock = table({ unseen: 0 });
    await service.createStream("stock", without(stock, "list"));
    for (const itemId of ["a", "b", "c"]) await service.set({ ...GROUP, itemId, data: itemId });
    const first = await service.list({ ...GROUP, pageSize: 2 });
    const second = await service.list({ ...GROUP, pageSize: 2, pageToken: first.nextPageToken });
    expect([first, second].map(({ items }) => items.map(({ itemId }) => itemId))).toEqual([
      ["a", "b"],
      ["c"],
    ]);
    const frames = await service.subscribe(GROUP);
    expect(await take(frames, 1)).toMatchObject([
      { kind: "sync", items: [{ data: "a" }, { data: "b" }, { data: "c" }] },
    ]);
    await frames.return?.();
  });

  it("is listGroups: then a stream has the groups written through the service", async () => {
    const service = await services();
    const stock = table({ unseen: 0 });
    await service.createStream("stock", without(stock, "listGroups"));
    for (const groupId of ["z", "a"]) await service.set({ ...TEA, groupId, data: 1 });
    await service.delete({ ...TEA, groupId: "z" });
    expect((await service.listGroups({ streamName: "stock" })).groups).toEqual(["a"]);
  });
});

describe("the result of a function of a custom stream", () => {
  const services = servicesOf();

  it.each([
    ["nothing", () => undefined],
    ["null", () => null],
    ["an object that says nothing", () => ({ rows_affected: 1 })],
  ])("is %s from a write: then get and data say what it did", async (_what, answer) => {
    const service = await services();
    const stock = table({ tea: 1 });
    await service.createStream("stock", {
      ...only(stock, "get"),
      set: (input) => (stock.set(input), answer()),
      delete: (input) => (stock.delete(input), answer()),
      update: (input) => (stock.update(input), answer()),
    });
    const ops = [{ type: "increment", path: "", by: 5 }] as const;
    expect(await service.set({ ...TEA, data: 2 })).toMatchObject({ oldValue: 1, newValue: 2 });
    expect(await service.update({ ...TEA, ops })).toMatchObject({ oldValue: 2, newValue: 7 });
    expect(await service.delete(TEA)).toMatchObject({ oldValue: 7, position: { revision: 3 } });
    expect(await service.delete(TEA)).toEqual({ oldValue: undefined, position: undefined });
    expect(await service.set({ ...TEA, data: 1 })).toMatchObject({ created: true });
  });

  it("may be the old and new values of a write", async () => {
    const service = await services();
    const frames = await service.subscribe(GROUP);
    await service.createStream("stock", {
      get: () => "from get",
      set: ({ data }) => ({ old_value: { was: "set" }, new_value: { now: data } }),
      update: ({ ops }) => ({ old_value: { was: "update" }, new_value: ops.length }),
      delete: () => ({ old_value: { was: "delete" } }),
    });
    const ops = [{ type: "set", path: "a", value: 1 }] as const;
    expect(await service.set({ ...TEA, data: 1 })).toMatchObject({
      oldValue: { was: "set" },
      created: false,
    });
    expect(await service.update({ ...TEA, ops })).toMatchObject({
      oldValue: { was: "update" },
      newValue: 1,
      created: false,
    });
    expect(await service.delete(TEA)).toMatchObject({ oldValue: { was: "delete" } });
    expect((await take(frames, 4)).slice(1)).toMatchObject([
      { type: "update", data: { now: 1 } },
      { type: "update", data: 1 },
      { type: "delete", data: { was: "delete" } },
    ]);
  });

  it("has a null old value for a missing item, whatever get returned", async () => {
    const service = await services();
    const frames = await service.subscribe(GROUP);
    await service.createStream("stock", {
      get: () => "from get",
      set: ({ data }) => ({ old_value: null, new_value: data }),
      update: () => ({ old_value: null, new_value: 2 }),
      delete: () => ({ old_value: null }),
    });
    const ops = [{ type: "set", path: "a", value: 1 }] as const;
    expect(await service.set({ ...TEA, data: 1 })).toMatchObject({ created: true });
    expect(await service.update({ ...TEA, ops })).toMatchObject({ created: true, newValue: 2 });
    expect(await service.delete(TEA)).toEqual({ oldValue: undefined, position: undefined });
    await service.send({ ...GROUP, data: "end" });
    expect((await take(frames, 4)).slice(1)).toMatchObject([
      { type: "create", data: 1, position: { revision: 1 } },
      { type: "create", data: 2, position: { revision: 2 } },
      { kind: "event", data: "end" },
    ]);
  });

  it("may be a promise, and come from a method that uses its adapter", async () => {
    const service = await services();
    class Shelf {
      readonly #rows = new Map<string, unknown>([["tea", 4]]);
      async get({ item_id }: { readonly item_id: string }) {
        await Promise.resolve();
        return this.#rows.get(item_id);
      }
    }
    await service.createStream("stock", new Shelf());
    expect(await service.get(TEA)).toMatchObject({ data: 4 });
  });

  it.each([
    ["null", null],
    ["nothing", undefined],
  ])("is %s from get where there is no item", async (_what, answer) => {
    const service = await services();
    await service.createStream("stock", { get: () => answer });
    expect(await service.get(TEA)).toBeUndefined();
    expect(await service.set({ ...TEA, data: 1 })).toMatchObject({ created: true });
    expect(await service.get(TEA)).toBeUndefined();
    expect(await service.delete(TEA)).toEqual({ oldValue: undefined, position: undefined });
  });

  it("may be undefined for empty lists", async () => {
    const service = await services();
    await service.createStream("stock", { list: () => null, listGroups: () => undefined });
    expect(await itemsOf(service)).toEqual([]);
    expect((await service.listGroups({ streamName: "stock" })).groups).toEqual([]);
  });

  it("may be a list of groups in any order, which is listed sorted, without duplicates, page by page", async () => {
    const service = await services();
    await service.createStream("stock", {
      listGroups: () => ["c", "é", "a", "c", "b", "\u{1f600}"],
    });
    const seen: string[][] = [];
    let pageToken = "";
    do {
      const page = await service.listGroups({ streamName: "stock", pageSize: 2, pageToken });
      seen.push([...page.groups]);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual([["a", "b"], ["c", "é"], ["\u{1f600}"]]);
  });

  it("may be a list of values, which is listed page by page", async () => {
    const service = await services();
    const rows = Array.from({ length: 5 }, (_, i) => ({ id: `i${i}` }));
    await service.createStream("stock", { list: () => rows });
    const seen: unknown[] = [];
    let pageToken = "";
    do {
      const page = await service.list({ ...GROUP, pageSize: 2, pageToken });
      expect(page.items.length).toBeLessThanOrEqual(2);
      seen.push(...page.items.map(({ itemId }) => itemId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(["i0", "i1", "i2", "i3", "i4"]);
  });

  it("is listed with page tokens of its own, and refuses others", async () => {
    const service = await services();
    await service.createStream("stock", { list: () => ["a", "b"] });
    const tokenOf = (...cursor: string[]) =>
      Buffer.from(JSON.stringify([["list", "stock", "shop"], cursor])).toString("base64url");
    const { nextPageToken } = await service.list({ ...GROUP, pageSize: 1 });
    expect(nextPageToken).toBe(tokenOf("", "1 0 "));
    for (const cursor of ["-1", "0.5", "elsewhere", "", "1", "1 7 ", "1 7 gone", " 1 0 "]) {
      const page = service.list({ ...GROUP, pageToken: tokenOf("", cursor) });
      await expect(page).rejects.toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
    }
  });
});
