import type { ChangePage, Mutation } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door, DoorClient } from "../../support/doors/door.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { textOfBytes } from "../../support/doors/values.ts";

/** Changes that the log of a group keeps in this suite. */
const KEPT = 150;

const TOKEN_INVALID = {
  code: "invalid_argument",
  reason: "PAGE_TOKEN_INVALID",
  metadata: { field: "page_token" },
};

type HistoryRequest = Parameters<DoorClient["history"]>[0];

/** History: the changes of a group. */
export function historySuite(door: Door, kind: StoreKind): void {
  describe("a history", () => {
    const at = openDoor(door, kind, { history: { maxChanges: KEPT } });
    const group = () => ({ streamName: uniqueName("history"), groupId: "g" });
    const revisions = ({ changes }: ChangePage) => changes.map(({ position }) => position.revision);
    /** Makes changes of item `i`, with their numbers as values. */
    const write = async (key: ReturnType<typeof group>, count: number, itemId = "i") => {
      const mutations: Mutation[] = Array.from({ length: count }, (_, i) => ({
        set: { itemId, data: i },
      }));
      return (await at.client.batch({ ...key, mutations })).position;
    };
    const allPages = async (request: HistoryRequest) => {
      const found: ChangePage[] = [];
      let pageToken = "";
      do {
        const page = await at.client.history({ ...request, pageToken });
        found.push(page);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return found;
    };

    it("has every change with type, item, value, position and timestamp, in revision order", async () => {
      const key = group();
      const { position } = await at.client.set({ ...key, itemId: "a", data: { n: 1 } });
      await at.client.update({
        ...key,
        itemId: "a",
        ops: [{ type: "increment", path: "n", by: 2 }],
      });
      await at.client.set({ ...key, itemId: "b", data: null });
      await at.client.delete({ ...key, itemId: "a" });
      const { epoch } = position;
      const page = await at.client.history(key);
      expect(page).toMatchObject({
        oldest: { epoch, revision: 1 },
        head: { epoch, revision: 4 },
        nextPageToken: "",
      });
      expect(page.changes).toEqual(
        [
          { type: "create", itemId: "a", data: { n: 1 } },
          { type: "update", itemId: "a", data: { n: 3 } },
          { type: "create", itemId: "b", data: null },
          { type: "delete", itemId: "a", data: { n: 3 } },
        ].map((change, index) => ({
          kind: "change",
          ...change,
          position: { epoch, revision: index + 1 },
          timestamp: expect.any(Number) as number,
          author: "",
        })),
      );
      const times = page.changes.map(({ timestamp }) => timestamp);
      expect(times).toEqual(Array.from(new Set(times)).sort((a, b) => a - b));
      expect(await at.client.history({ ...key, descending: true })).toEqual({
        ...page,
        changes: page.changes.toReversed(),
      });
    });

    it("of one item has only its changes", async () => {
      const key = group();
      for (const itemId of ["a", "b", "a", "c", "a"]) await write(key, 1, itemId);
      await at.client.delete({ ...key, itemId: "a" });
      for (const descending of [false, true]) {
        const [page] = await allPages({ ...key, itemId: "a", descending });
        const expected = [1, 3, 5, 6];
        expect(page && revisions(page)).toEqual(descending ? expected.toReversed() : expected);
        expect(page).toMatchObject({ oldest: { revision: 1 }, head: { revision: 6 } });
      }
      expect(await at.client.history({ ...key, itemId: "none" })).toMatchObject({
        changes: [],
        nextPageToken: "",
      });
    });

    it("contains both ends of its range, cut to what the log has", async () => {
      const key = group();
      await write(key, KEPT);
      const position = await write(key, 10);
      const ranges = [
        [20, 22, [20, 21, 22]],
        [20, 20, [20]],
        [0, 12, [11, 12]],
        [158, 9_007_199_254_740_991, [158, 159, 160]],
        [undefined, 12, [11, 12]],
        [159, undefined, [159, 160]],
        [1, 10, []],
        [161, undefined, []],
        [22, 20, []],
        [0, 0, []],
      ] as const;
      for (const [fromRevision, toRevision, expected] of ranges) {
        const request = {
          ...key,
          ...(fromRevision !== undefined && { fromRevision }),
          ...(toRevision !== undefined && { toRevision }),
        };
        const page = await at.client.history(request);
        expect(page).toMatchObject({
          oldest: { epoch: position.epoch, revision: 11 },
          head: position,
          nextPageToken: "",
        });
        expect(revisions(page)).toEqual(expected);
        const back = await at.client.history({ ...request, descending: true });
        expect(revisions(back)).toEqual(expected.toReversed());
      }
    });

    it("of a group that was never written is empty, at the origin", async () => {
      expect(await at.client.history(group())).toEqual({
        changes: [],
        oldest: undefined,
        head: { epoch: "", revision: 0 },
        nextPageToken: "",
      });
    });

    it("of an emptied group goes on", async () => {
      const key = group();
      await write(key, 2);
      await at.client.delete({ ...key, itemId: "i" });
      expect(revisions(await at.client.history(key))).toEqual([1, 2, 3]);
    });

    it.each([false, true])("has pages of 100 changes by default (descending: %s)", async (down) => {
      const key = group();
      await write(key, 130);
      const expected = Array.from({ length: 130 }, (_, i) => (down ? 130 - i : i + 1));
      for (const [pageSize, sizes] of [
        [0, [100, 30]],
        [65, [65, 65]],
        [1000, [130]],
        [60, [60, 60, 10]],
      ] as const) {
        const found = await allPages({ ...key, pageSize, descending: down });
        expect(found.map(({ changes }) => changes.length)).toEqual(sizes);
        expect(found.flatMap(revisions)).toEqual(expected);
      }
      const range = { fromRevision: 10, toRevision: 90, pageSize: 7, descending: down };
      expect((await allPages({ ...key, ...range })).flatMap(revisions)).toEqual(
        expected.filter((revision) => revision >= 10 && revision <= 90),
      );
    });

    it("ends pages early to stay below the response limit", async () => {
      const key = group();
      const data = textOfBytes(1024 * 1024);
      await write(key, 10);
      for (let i = 0; i < 4; i++) await at.server.service.set({ ...key, itemId: "i", data });
      await write(key, 10);
      for (const descending of [false, true]) {
        const found = await allPages({ ...key, descending });
        expect(found.length).toBeGreaterThan(1);
        const listed = found.flatMap(revisions);
        expect(descending ? listed.toReversed() : listed).toEqual(
          Array.from({ length: 24 }, (_, i) => i + 1),
        );
      }
    });

    it("lists no change twice and misses none while others write and the log is trimmed", async () => {
      const key = group();
      await write(key, KEPT);
      const up = await at.client.history({ ...key, pageSize: 50 });
      const down = await at.client.history({ ...key, pageSize: 50, descending: true });
      await write(key, 40);
      const upNext = await at.client.history({
        ...key,
        pageSize: 1000,
        pageToken: up.nextPageToken,
      });
      expect(revisions(upNext)).toEqual(Array.from({ length: 140 }, (_, i) => 51 + i));
      expect(upNext).toMatchObject({ head: { revision: 190 }, oldest: { revision: 41 } });
      // What was trimmed is not listed any more.
      const downNext = await at.client.history({
        ...key,
        pageSize: 1000,
        descending: true,
        pageToken: down.nextPageToken,
      });
      expect(revisions(downNext)).toEqual(Array.from({ length: 60 }, (_, i) => 100 - i));
      expect(downNext).toMatchObject({ oldest: { revision: 41 }, nextPageToken: "" });
    });

    it("refuses a page token that trimming has overtaken", async () => {
      const key = group();
      await write(key, 30);
      const request = { ...key, pageSize: 20 };
      const up = await at.client.history(request);
      const down = await at.client.history({ ...request, descending: true });
      expect([up.nextPageToken, down.nextPageToken]).not.toContain("");
      // The next changes are 21 and 10; 21 is the oldest one now.
      await write(key, KEPT - 10);
      const { changes } = await at.client.history({ ...request, pageToken: up.nextPageToken });
      expect(changes[0]).toMatchObject({ position: { revision: 21 } });
      const again = { ...request, descending: true, pageToken: down.nextPageToken };
      await expect(at.client.history(again)).rejects.toMatchObject(TOKEN_INVALID);
      await write(key, 1);
      const late = { ...request, pageToken: up.nextPageToken };
      await expect(at.client.history(late)).rejects.toMatchObject(TOKEN_INVALID);
    });

    it("accepts a page token only with the same arguments", async () => {
      const key = group();
      const range = { ...key, itemId: "i", fromRevision: 1, toRevision: 90 };
      await write(key, 100);
      await write({ ...key, groupId: "h" }, 100);
      const { nextPageToken: pageToken } = await at.client.history({ ...range, pageSize: 5 });
      const { nextPageToken: ofList } = await at.client.history({ ...key, pageSize: 5 });
      const { itemId: _, ...ofAllItems } = range;
      const refused: HistoryRequest[] = [
        { ...range, groupId: "h", pageToken },
        { ...range, streamName: "another", pageToken },
        { ...range, itemId: "j", pageToken },
        { ...ofAllItems, pageToken },
        { ...range, fromRevision: 2, pageToken },
        { ...range, toRevision: 91, pageToken },
        { ...range, descending: true, pageToken },
        { ...range, pageToken: ofList },
        { ...range, pageToken: `${pageToken}x` },
        { ...range, pageToken: "garbage" },
      ];
      for (const request of refused)
        await expect(at.client.history(request)).rejects.toMatchObject(TOKEN_INVALID);
      const list = at.client.list({ ...key, pageToken: ofList });
      await expect(list).rejects.toMatchObject(TOKEN_INVALID);
      const next = await at.client.history({ ...range, pageSize: 3, pageToken });
      expect(revisions(next)).toEqual([6, 7, 8]);
    });
  });
}
