import { describe, expect, it } from "vitest";
import { GROUP, servicesOf } from "./custom-fixture.ts";

const services = servicesOf();

describe("a listing of a custom stream", () => {
  it("misses no item when others are deleted between its pages", async () => {
    const service = await services();
    const rows = new Map(["a", "b", "c", "d"].map((id) => [id, { id }]));
    await service.createStream("stock", {
      list: () => [...rows.values()],
      delete: ({ item_id }) => void rows.delete(item_id),
    });
    const first = await service.list({ ...GROUP, pageSize: 2 });
    await service.delete({ ...GROUP, itemId: "a" });
    const second = await service.list({ ...GROUP, pageSize: 2, pageToken: first.nextPageToken });
    expect(second.items.map(({ itemId }) => itemId)).toEqual(["c", "d"]);
    await service.delete({ ...GROUP, itemId: "b" });
    // The last item of that page is deleted: the one after it has its place.
    const again = await service.list({ ...GROUP, pageSize: 2, pageToken: first.nextPageToken });
    expect(again.items.map(({ itemId }) => itemId)).toEqual(["c", "d"]);
    await service.delete({ ...GROUP, itemId: "c" });
    await expect(
      service.list({ ...GROUP, pageSize: 2, pageToken: first.nextPageToken }),
    ).rejects.toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
  });
});

describe("a window of a custom stream", () => {
  it("has the last items of its listing, and a token for those before", async () => {
    const service = await services();
    const rows = new Map(["a", "b", "c", "d", "e"].map((id) => [id, { id }]));
    await service.createStream("stock", {
      list: () => [...rows.values()],
      delete: ({ item_id }) => void rows.delete(item_id),
    });
    const frames = await service.subscribe({ ...GROUP, window: 2 });
    const { value: sync } = await frames.next();
    await frames.return?.();
    if (sync?.kind !== "sync") throw new Error("no sync");
    expect(sync.items.map(({ itemId }) => itemId)).toEqual(["d", "e"]);
    expect(sync.truncated).toBe(true);
    const older = async () => {
      const pageToken = sync.olderPageToken ?? "";
      const { items } = await service.list({ ...GROUP, descending: true, pageToken });
      return items.map(({ itemId }) => itemId);
    };
    expect(await older()).toEqual(["c", "b", "a"]);
    await service.delete({ ...GROUP, itemId: "d" });
    expect(await older()).toEqual(["c", "b", "a"]);
    await service.delete({ ...GROUP, itemId: "c" });
    // Both neighbours of the place are gone: the client has to subscribe again.
    await expect(older()).rejects.toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
  });

  it("is whole when its listing has no more", async () => {
    const service = await services();
    await service.createStream("stock", { list: () => [{ id: "a" }, { id: "b" }] });
    const frames = await service.subscribe({ ...GROUP, window: 2 });
    const { value: sync } = await frames.next();
    expect(sync).toMatchObject({ items: [{ itemId: "a" }, { itemId: "b" }], truncated: false });
    await frames.return?.();
  });
});
