import { describe, expect, it } from "vitest";
import type { Item } from "../../src/core/change.ts";
import type { SyncFrame } from "../../src/core/frame.ts";
import { Value } from "../../src/core/value.ts";
import { type Followed, ServedMembers } from "../../src/live/served-members.ts";
import { stateFrame } from "../../src/live/state-part.ts";
import { idsOf } from "./shared-setup.ts";

const GROUP = { streamName: "s", groupId: "g" };
const HEAD = { position: { epoch: "e", revision: 50 }, timestamp: 5 };

const itemOf = (itemId: string): Item => ({
  ...{ itemId, value: Value.of(1), revision: 1, createTimeMs: 1, updateTimeMs: 1 },
  author: "",
});

/** The parts of a snapshot of ten items, three each, as a window of `size`. */
function partsOf(size: number): SyncFrame[] {
  const ids = idsOf(10).slice(-size);
  const places = ids.map((id) => `place of ${id}`);
  const count = ids.length;
  return [0, 3, 6, 9]
    .filter((start) => start < count)
    .map((start) =>
      stateFrame(ids.slice(start, start + 3).map(itemOf), HEAD, start === 0, start + 3 >= count, {
        ...{ group: GROUP, total: 10, count, first: places[0] },
        places: places.slice(start, start + 3),
      }),
    );
}

/** What each member receives of the snapshot for all. */
function distribute(members: readonly Followed[], parts: readonly SyncFrame[]) {
  const served = new ServedMembers<Followed>();
  served.restart(members);
  const received = new Map<Followed, SyncFrame[]>(members.map((member) => [member, []]));
  for (const part of parts)
    served.split(part, (member, own) => {
      if (own !== undefined) received.get(member)?.push(own);
    });
  return members.map((member) => received.get(member) ?? []);
}

const ids = (frames: readonly SyncFrame[]) =>
  frames.flatMap(({ items }) => items.map(({ itemId }) => itemId));
const tokenOf = (size: number) => partsOf(size).at(-1)?.olderPageToken;

describe("the window of a snapshot for all members", () => {
  const windowOf = (...members: readonly Followed[]) => {
    const served = new ServedMembers<Followed>();
    served.restart(members);
    return served.window();
  };
  const all = { itemId: undefined };

  it("is the largest of its members", () => {
    const small = { itemId: undefined, window: 3 };
    expect(windowOf(small, { itemId: undefined, window: 7 })).toBe(7);
  });

  it("is the whole group, read as a window, if a member follows something outside", () => {
    const small = { itemId: undefined, window: 3 };
    expect(windowOf(small, all)).toBe(Infinity);
    expect(windowOf(small, { itemId: "a" })).toBe(Infinity);
  });

  it("is the whole group, read as ever, if no member has one", () => {
    expect(windowOf(all, { itemId: "a" })).toBeUndefined();
  });
});

describe("members of a group", () => {
  it("receive their own windows of a snapshot in parts, each with its token", () => {
    const sizes = [1, 3, 4, 7, 9];
    const received = distribute(
      sizes.map((window) => ({ itemId: undefined, window })),
      partsOf(9),
    );
    for (const [i, frames] of received.entries()) {
      const size = sizes[i] ?? 0;
      expect(ids(frames)).toEqual(idsOf(10).slice(-size));
      expect(frames.map(({ first }) => first)).toEqual(frames.map((_, part) => part === 0));
      expect(frames.map(({ last }) => last)).toEqual(
        frames.map((_, part) => part === frames.length - 1),
      );
      expect(frames.map(({ truncated }) => truncated)).toEqual(frames.map(() => true));
      const tokens = frames.map(({ olderPageToken }) => olderPageToken);
      expect(tokens).toEqual(
        tokens.map((_, part) => (part + 1 < tokens.length ? undefined : tokenOf(size))),
      );
    }
  });

  it("receive the whole group, their item and their window of one snapshot", () => {
    const [whole, item, none, window, wide] = distribute(
      [
        { itemId: undefined },
        { itemId: "i4" },
        { itemId: "none" },
        { itemId: undefined, window: 2 },
        { itemId: undefined, window: 10_000 },
      ],
      partsOf(10),
    ) as [SyncFrame[], SyncFrame[], SyncFrame[], SyncFrame[], SyncFrame[]];
    expect(ids(whole)).toEqual(idsOf(10));
    expect(item).toMatchObject([{ items: [{ itemId: "i4" }], first: true, last: true }]);
    expect(none).toMatchObject([{ items: [], first: true, last: true }]);
    expect(ids(window)).toEqual(["i8", "i9"]);
    expect(window.at(-1)).toMatchObject({ truncated: true, olderPageToken: tokenOf(2) });
    expect(ids(wide)).toEqual(idsOf(10));
    expect(wide.at(-1)).toMatchObject({ truncated: false, olderPageToken: undefined });
  });
});
