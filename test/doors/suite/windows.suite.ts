import type { Mutation } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door, DoorClient, SubscribeRequest } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { textOfBytes } from "../../support/doors/values.ts";

interface Group {
  readonly streamName: string;
  readonly groupId: string;
}

/** Items beyond one part of a snapshot. */
const MANY = 2500;
/** Changes that the log keeps. */
const MAX_CHANGES = 20;

/** Subscriptions with a window. */
export function windowsSuite(door: Door, kind: StoreKind): void {
  describe("a subscription with a window", () => {
    const at = openDoor(door, kind, { history: { maxChanges: MAX_CHANGES } });
    const names = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => `i${from + i}`);
    const fill = async (count: number): Promise<Group> => {
      const group = { streamName: uniqueName("window"), groupId: "g" };
      const mutations: Mutation[] = names(0, count).map((itemId, i) => ({
        set: { itemId, data: i },
      }));
      for (let i = 0; i < count; i += 1000)
        await at.client.batch({ ...group, mutations: mutations.slice(i, i + 1000) });
      return group;
    };
    /** A follower, and the snapshot that it received. */
    const open = async (request: SubscribeRequest) => {
      const follower = await Follower.open(at.client, request);
      return { follower, ...windowOf(await follower.sync()) };
    };

    it("receives the newest items in creation order, with a token for the older ones", async () => {
      const group = await fill(10);
      await at.client.set({ ...group, itemId: "i0", data: "updated" });
      await at.client.delete({ ...group, itemId: "i8" });
      const { position } = await at.client.set({ ...group, itemId: "i8", data: "again" });
      const { follower, ids, truncated, token } = await open({ ...group, window: 3 });
      expect(ids).toEqual(["i7", "i9", "i8"]);
      expect(follower.position).toEqual(position);
      expect(truncated).toBe(true);
      expect(await older(at.client, group, token, 2)).toEqual([
        ...["i6", "i5", "i4", "i3", "i2", "i1", "i0"],
      ]);
      await follower.close();
    });

    it.each([
      ["as many items as the group has", 4, 4],
      ["more items than the group has", 4, 10_000],
      ["any size of an empty group", 0, 1],
    ])("of %s has all of them, and no token", async (_, count, window) => {
      const group = await fill(count);
      const { follower, ids, truncated, token } = await open({ ...group, window });
      expect(ids).toEqual(names(0, count));
      expect({ truncated, token }).toEqual({ truncated: false, token: undefined });
      await follower.close();
    });

    it("receives every later change, also those of older items (G2)", async () => {
      const group = await fill(5);
      const { follower } = await open({ ...group, window: 2 });
      await at.client.set({ ...group, itemId: "i0", data: "older" });
      await at.client.set({ ...group, itemId: "i4", data: "newer" });
      await at.client.delete({ ...group, itemId: "i1" });
      await at.client.set({ ...group, itemId: "new", data: "created" });
      const ops = [{ type: "set", path: "", value: "stepped" } as const];
      await at.client.update({ ...group, itemId: "i2", ops });
      const changes = [];
      for (let i = 0; i < 5; i++) changes.push(await follower.expect("change"));
      expect(changes.map(({ type, itemId, data }) => [type, itemId, data])).toEqual([
        ["update", "i0", "older"],
        ["update", "i4", "newer"],
        ["delete", "i1", 1],
        ["create", "new", "created"],
        ["update", "i2", "stepped"],
      ]);
      expect([...follower.state]).toEqual([
        ["i3", 3],
        ["i4", "newer"],
        ["new", "created"],
      ]);
      await follower.close();
    });

    it("of more than a part comes in parts; the last one has the token", async () => {
      const group = await fill(MANY + 500);
      const follower = await Follower.open(at.client, { ...group, window: MANY });
      const parts = await follower.sync();
      expect(parts.length).toBeGreaterThan(1);
      expect(parts.flatMap(({ items }) => items.map(({ itemId }) => itemId))).toEqual(
        names(500, MANY + 500),
      );
      expect(parts.map(({ truncated }) => truncated)).toEqual(parts.map(() => true));
      expect(parts.map(({ olderPageToken }) => olderPageToken !== undefined)).toEqual(
        parts.map(({ last }) => last),
      );
      const token = parts.at(-1)?.olderPageToken;
      expect(await older(at.client, group, token, 400)).toEqual(names(0, 500).reverse());
      await follower.close();
    });

    it("of large values ends by its number of items only", async () => {
      const group = await fill(2);
      const data = textOfBytes(200 * 1024);
      for (const itemId of ["a", "b", "c", "d"]) await at.client.set({ ...group, itemId, data });
      const { follower, ids } = await open({ ...group, window: 4 });
      expect(ids).toEqual(["a", "b", "c", "d"]);
      await follower.close();
    });

    it("gives a token that holds when items beside it are deleted, and others created", async () => {
      const group = await fill(8);
      const { follower, token } = await open({ ...group, window: 3 });
      // The oldest of the window, the newest of the older ones, and an older one that moves.
      for (const itemId of ["i5", "i4", "i2"]) await at.client.delete({ ...group, itemId });
      await at.client.set({ ...group, itemId: "i2", data: "moved" });
      await at.client.set({ ...group, itemId: "i0", data: "updated" });
      expect(await older(at.client, group, token, 2)).toEqual(["i3", "i1", "i0"]);
      for (const itemId of ["i3", "i1", "i0"]) await at.client.delete({ ...group, itemId });
      expect(await older(at.client, group, token, 2)).toEqual([]);
      await follower.close();
    });

    it("gives a token for descending listings of the same group only", async () => {
      const group = await fill(3);
      const { follower, token: pageToken = "" } = await open({ ...group, window: 1 });
      const refused = { code: "invalid_argument", reason: "PAGE_TOKEN_INVALID" };
      const { list } = at.client;
      await expect(list({ ...group, pageToken })).rejects.toMatchObject(refused);
      const other = { ...group, groupId: "other" };
      await expect(list({ ...other, pageToken, descending: true })).rejects.toMatchObject(refused);
      await follower.close();
    });

    it("resumes like any other, and receives its window when it cannot (G4)", async () => {
      const group = await fill(6);
      const request = { ...group, window: 2 };
      const { follower: first } = await open(request);
      await first.close();
      await at.client.set({ ...group, itemId: "i0", data: "older" });
      await at.client.set({ ...group, itemId: "i6", data: 6 });
      const second = await Follower.resume(at.client, request, first);
      await second.expect("resumed");
      expect(await second.expect("change")).toMatchObject({ itemId: "i0", data: "older" });
      expect(await second.expect("change")).toMatchObject({ type: "create", itemId: "i6" });
      expect([...second.state.keys()]).toEqual(["i4", "i5", "i6"]);
      await second.close();
      for (let i = 0; i <= MAX_CHANGES; i++)
        await at.client.set({ ...group, itemId: "i1", data: i });
      const third = await Follower.resume(at.client, request, second);
      const { ids, truncated, token } = windowOf(await third.sync());
      expect(ids).toEqual(["i5", "i6"]);
      expect(truncated).toBe(true);
      expect(await older(at.client, group, token, 0)).toEqual(names(0, 5).reverse());
      await third.close();
    });

    it("receives deltas on request", async () => {
      const group = await fill(3);
      const text = "x".repeat(500);
      for (const itemId of ["old", "new"])
        await at.client.set({ ...group, itemId, data: { text } });
      const follower = await Follower.open(at.client, { ...group, window: 1, deltas: true });
      await follower.sync();
      const append = (itemId: string) =>
        at.client.update({
          ...group,
          itemId,
          ops: [{ type: "append", path: ["text"], value: "!" }],
        });
      await append("old");
      const { position } = await append("new");
      await follower.reach(position.revision);
      expect([...follower.state]).toEqual([["new", { text: `${text}!` }]]);
      expect(follower.deltas).toBe(1);
      await follower.close();
    });
  });
}

type Parts = Awaited<ReturnType<Follower["sync"]>>;

function windowOf(parts: Parts) {
  const { truncated, olderPageToken: token } = parts.at(-1) as Parts[number];
  return {
    ids: parts.flatMap(({ items }) => items.map(({ itemId }) => itemId)),
    truncated,
    token,
  };
}

/** The ids of the items of a descending listing, from a token. */
async function older(
  client: DoorClient,
  group: Group,
  token: string | undefined,
  pageSize: number,
): Promise<string[]> {
  const found: string[] = [];
  if (token === undefined) throw new Error("there is no token");
  let pageToken = token;
  do {
    const page = await client.list({ ...group, descending: true, pageSize, pageToken });
    found.push(...page.items.map(({ itemId }) => itemId));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return found;
}
