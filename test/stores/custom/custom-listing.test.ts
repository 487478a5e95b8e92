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
