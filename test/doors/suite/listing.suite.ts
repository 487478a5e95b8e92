import type { Mutation } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door, DoorClient } from "../../support/doors/door.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { textOfBytes } from "../../support/doors/values.ts";

const TOKEN_INVALID = {
  code: "invalid_argument",
  reason: "PAGE_TOKEN_INVALID",
  metadata: { field: "page_token" },
  message: expect.stringContaining("page_token"),
};

/** List, ListGroups and ListAll. */
export function listingSuite(door: Door, kind: StoreKind): void {
  describe("listings", () => {
    const at = openDoor(door, kind);
    const group = () => ({ streamName: uniqueName("listing"), groupId: "g" });

    it("return items in creation order; a recreated item moves to the end", async () => {
      const key = group();
      for (const itemId of ["c", "a", "b"]) await at.client.set({ ...key, itemId, data: itemId });
      await at.client.set({ ...key, itemId: "c", data: "again" });
      await at.client.delete({ ...key, itemId: "a" });
      const { position } = await at.client.set({ ...key, itemId: "a", data: "new" });
      const page = await at.client.list(key);
      expect(page).toMatchObject({ position, nextPageToken: "" });
      expect(page.items.map(({ itemId, data, revision }) => [itemId, data, revision])).toEqual([
        ["c", "again", 4],
        ["b", "b", 3],
        ["a", "new", 6],
      ]);
    });

    it("of a group that was never written are empty, at the origin", async () => {
      expect(await at.client.list(group())).toEqual({
        items: [],
        position: { epoch: "", revision: 0 },
        nextPageToken: "",
      });
    });

    it("of an emptied group keep its position", async () => {
      const key = group();
      const { position } = await at.client.set({ ...key, itemId: "i", data: 1 });
      await at.client.delete({ ...key, itemId: "i" });
      expect(await at.client.list(key)).toEqual({
        items: [],
        position: { epoch: position.epoch, revision: 2 },
        nextPageToken: "",
      });
    });

    it("have pages of 100 items by default and 1,000 at most", async () => {
      const key = group();
      const ids = Array.from({ length: 1001 }, (_, i) => `i${i}`);
      const mutations: Mutation[] = ids.map((itemId) => ({ set: { itemId, data: 0 } }));
      await at.client.batch({ ...key, mutations: mutations.slice(0, 1000) });
      await at.client.batch({ ...key, mutations: mutations.slice(1000) });
      const sizes: Record<number, number> = { 0: 100, 1: 1, 100: 100, 1000: 1000, 5000: 1000 };
      for (const [pageSize, size] of Object.entries(sizes)) {
        const page = await at.client.list({ ...key, pageSize: Number(pageSize) });
        expect(page.items.map(({ itemId }) => itemId)).toEqual(ids.slice(0, size));
        expect(page.nextPageToken).not.toBe("");
      }
      const all = await pages(at.client, key, 300);
      expect(all.map(({ items }) => items.length)).toEqual([300, 300, 300, 101]);
      expect(all.flatMap(({ items }) => items.map(({ itemId }) => itemId))).toEqual(ids);
      const last = await at.client.list({
        ...key,
        pageSize: 1000,
        pageToken: all[0]?.nextPageToken ?? "",
      });
      expect(last).toMatchObject({ nextPageToken: "" });
    });

    it("have one position for all pages without changes, and skip or repeat nothing on changes", async () => {
      const key = group();
      for (let i = 0; i < 6; i++) await at.client.set({ ...key, itemId: `i${i}`, data: i });
      const quiet = await pages(at.client, key, 2);
      expect(new Set(quiet.map(({ position }) => position.revision))).toEqual(new Set([6]));

      const first = await at.client.list({ ...key, pageSize: 2 });
      await at.client.delete({ ...key, itemId: "i0" });
      await at.client.delete({ ...key, itemId: "i3" });
      await at.client.set({ ...key, itemId: "i4", data: "changed" });
      await at.client.set({ ...key, itemId: "i3", data: "back" });
      const second = await at.client.list({ ...key, pageSize: 2, pageToken: first.nextPageToken });
      await at.client.delete({ ...key, itemId: "i4" });
      const third = await at.client.list({ ...key, pageSize: 2, pageToken: second.nextPageToken });
      expect(second.position.revision).toBe(10);
      expect([first, second, third].map(({ items }) => items.map(({ itemId }) => itemId))).toEqual([
        ["i0", "i1"],
        ["i2", "i4"],
        ["i5", "i3"],
      ]);
    });

    it("from the newest have the reverse order, and tokens of their own", async () => {
      const key = group();
      for (const itemId of ["a", "b", "c", "d", "e"])
        await at.client.set({ ...key, itemId, data: itemId });
      await at.client.set({ ...key, itemId: "b", data: "updated" });
      await at.client.delete({ ...key, itemId: "c" });
      await at.client.set({ ...key, itemId: "c", data: "again" });
      const { list } = at.client;
      const newest = { ...key, descending: true, pageSize: 2 };
      const first = await list(newest);
      expect(first.items.map(({ itemId }) => itemId)).toEqual(["c", "e"]);
      // The page goes on before its last item, whatever happens to it.
      await at.client.delete({ ...key, itemId: "e" });
      await at.client.set({ ...key, itemId: "f", data: "new" });
      const second = await list({ ...newest, pageToken: first.nextPageToken });
      expect(second.items.map(({ itemId }) => itemId)).toEqual(["d", "b"]);
      const third = await list({ ...newest, pageToken: second.nextPageToken });
      expect(third).toMatchObject({ items: [{ itemId: "a" }], nextPageToken: "" });
      const oldest = await list({ ...key, descending: false, pageSize: 1 });
      for (const request of [
        { ...key, pageToken: first.nextPageToken },
        { ...newest, pageToken: oldest.nextPageToken },
      ])
        await expect(list(request)).rejects.toMatchObject(TOKEN_INVALID);
    });

    it("end pages early to stay below the response limit", async () => {
      const key = group();
      const data = textOfBytes(1024 * 1024);
      for (let i = 0; i < 5; i++) await at.server.service.set({ ...key, itemId: `i${i}`, data });
      const all = await pages(at.client, key, 0);
      expect(all.length).toBeGreaterThan(1);
      for (const { items } of all) expect(items.length).toBeLessThanOrEqual(3);
      expect(all.flatMap(({ items }) => items.map(({ itemId }) => itemId))).toEqual(
        Array.from({ length: 5 }, (_, i) => `i${i}`),
      );
    });

    it("accept a page token only from the same listing", async () => {
      const key = group();
      for (const itemId of ["a", "b"]) await at.client.set({ ...key, itemId, data: 0 });
      await at.client.set({ ...key, groupId: "h", itemId: "a", data: 0 });
      const items = (await at.client.list({ ...key, pageSize: 1 })).nextPageToken;
      const groups = (await at.client.listGroups({ ...key, pageSize: 1 })).nextPageToken;
      const all = (await at.client.listAll({ pageSize: 1 })).nextPageToken;
      expect([items, groups, all]).not.toContain("");
      const { list, listGroups, listAll } = at.client;
      const refused = [
        list({ ...key, groupId: "h", pageToken: items }),
        list({ ...key, streamName: "another", pageToken: items }),
        list({ ...key, pageToken: groups }),
        list({ ...key, pageToken: all }),
        list({ ...key, pageToken: "garbage" }),
        list({ ...key, pageToken: `${items}x` }),
        list({ ...key, pageToken: items.slice(0, -2) }),
        listGroups({ ...key, pageToken: items }),
        listGroups({ streamName: "another", pageToken: groups }),
        listGroups({ ...key, pageToken: all }),
        listAll({ pageToken: groups }),
        listAll({ pageToken: "W10" }),
      ];
      const outcomes = await Promise.allSettled(refused);
      for (const outcome of outcomes)
        expect(outcome).toMatchObject({ status: "rejected", reason: TOKEN_INVALID });
      expect((await list({ ...key, pageToken: items, pageSize: 5 })).items).toHaveLength(1);
    });

    it("refuse a negative page size", async () => {
      const key = group();
      const outcomes = await Promise.allSettled([
        at.client.list({ ...key, pageSize: -1 }),
        at.client.listGroups({ ...key, pageSize: -1 }),
        at.client.listAll({ pageSize: -1 }),
      ]);
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({
          status: "rejected",
          reason: {
            code: "invalid_argument",
            reason: "REQUEST_INVALID",
            metadata: { field: "page_size" },
          },
        });
      }
    });

    it("of groups contain those with items, sorted by UTF-8 bytes, page by page", async () => {
      const streamName = uniqueName("groups");
      // By UTF-16 units the emoji would come before U+FF5E.
      const sorted = ["A", "B", "a", "a:b", "é", "\uff5e", "💧"];
      for (const groupId of sorted.toReversed())
        await at.client.set({ streamName, groupId, itemId: "i", data: 0 });
      await at.client.set({ streamName, groupId: "emptied", itemId: "i", data: 0 });
      await at.client.delete({ streamName, groupId: "emptied", itemId: "i" });
      expect(await at.client.listGroups({ streamName })).toEqual({
        groups: sorted,
        nextPageToken: "",
      });
      const found: string[] = [];
      let pageToken = "";
      do {
        const page = await at.client.listGroups({ streamName, pageSize: 3, pageToken });
        expect(page.groups.length).toBeGreaterThan(0);
        found.push(...page.groups);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect(found).toEqual(sorted);
      expect(await at.client.listGroups({ streamName: uniqueName("none") })).toEqual({
        groups: [],
        nextPageToken: "",
      });
    });

    it("of all streams contain their groups, split across pages, and the number of streams", async () => {
      const prefix = uniqueName("all");
      const expected = [
        [`${prefix}:a`, ["g1", "g2", "g3"]],
        [`${prefix}:b`, ["g1"]],
        [`${prefix}:c`, ["g1", "g2"]],
      ] as const;
      for (const [streamName, groups] of expected)
        for (const groupId of groups)
          await at.client.set({ streamName, groupId, itemId: "i", data: 0 });
      const pairs: string[] = [];
      let count: number | undefined;
      let pageToken = "";
      do {
        const page = await at.client.listAll({ pageSize: 2, pageToken });
        const here = page.streams.flatMap(({ streamName, groups }) =>
          groups.map((groupId) => `${streamName} ${groupId}`),
        );
        expect(here.length).toBeGreaterThan(0);
        expect(here.length).toBeLessThanOrEqual(2);
        pairs.push(...here);
        count ??= page.count;
        expect(page.count).toBe(count);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect(new Set(pairs.map((pair) => pair.split(" ")[0])).size).toBe(count);
      const bytes = pairs.map((pair) => Buffer.from(pair.replace(" ", "\0")));
      expect(bytes).toEqual(bytes.toSorted(Buffer.compare));
      expect(pairs.filter((pair) => pair.startsWith(prefix))).toEqual(
        expected.flatMap(([streamName, groups]) =>
          groups.map((groupId) => `${streamName} ${groupId}`),
        ),
      );
      expect((await at.client.listAll({ pageSize: 1000 })).nextPageToken).toBe("");
    });
  });
}

async function pages(
  client: DoorClient,
  key: { readonly streamName: string; readonly groupId: string },
  pageSize: number,
) {
  const found = [];
  let pageToken = "";
  do {
    const page = await client.list({ ...key, pageSize, pageToken });
    found.push(page);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return found;
}
