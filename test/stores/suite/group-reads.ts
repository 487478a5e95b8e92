import { describe, expect, it } from "vitest";
import type { GroupKey } from "../../../src/core/names.ts";
import { compareUtf8 } from "../../../src/core/text.ts";
import type { OpenStore } from "./fixture.ts";
import { commit, contents, groupOf, put, remove } from "./fixture.ts";
import { storesOf } from "./setup.ts";

// Names that a careless encoding confuses, or sorts in another order than UTF-8 does.
const NASTY = [
  " ",
  "a",
  "a ",
  "A",
  "a:b",
  "a:b:c",
  "b:c",
  "a/b",
  "a\\b",
  "a%00b",
  "a\\0b",
  "%",
  "{a}",
  "[a*?]",
  "..",
  "é",
  "e\u0301",
  "\u0130",
  "\u00a0",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "\u{10000}",
  "\u{10ffff}",
  "__proto__",
  "constructor",
  "toString",
];

/** Reads over groups and streams. */
export function describeGroupReads(open: OpenStore): void {
  const stores = storesOf(open);

  describe("groups", () => {
    it("lists the groups of a stream that hold items, sorted by UTF-8 bytes", async () => {
      const { store } = await stores();
      for (const name of NASTY) await commit(store, groupOf(name), put("i", 1));
      await commit(store, groupOf("elsewhere", "stream2"), put("i", 1));
      await commit(store, groupOf("elsewhere", "strea"), put("i", 1));
      const sorted = NASTY.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await store.groups("stream", { limit: 1000 })).toEqual(sorted);
      expect(sorted.toSorted(compareUtf8)).toEqual(sorted);
      expect(await store.groups("none", { limit: 10 })).toEqual([]);
    });

    it("pages over the groups of a stream, also after a deleted one", async () => {
      const { store } = await stores();
      for (const name of ["a", "b", "c", "d", "e"]) await commit(store, groupOf(name), put("i", 1));
      expect(await store.groups("stream", { limit: 2 })).toEqual(["a", "b"]);
      await commit(store, groupOf("b"), remove("i"));
      expect(await store.groups("stream", { after: "b", limit: 2 })).toEqual(["c", "d"]);
      expect(await store.groups("stream", { after: "d", limit: 2 })).toEqual(["e"]);
      expect(await store.groups("stream", { after: "e", limit: 2 })).toEqual([]);
    });

    it("drops a group with its last item and shows it again with its next", async () => {
      const { store } = await stores();
      const group = groupOf("a");
      await commit(store, group, put("x", 1), put("y", 1));
      await commit(store, group, remove("x"));
      expect(await store.groups("stream", { limit: 10 })).toEqual(["a"]);
      await commit(store, group, remove("y"));
      expect(await store.groups("stream", { limit: 10 })).toEqual([]);
      expect(await store.allGroups({ limit: 10 })).toEqual({ groups: [], streamCount: 0 });
      await commit(store, group, put("z", 1), remove("z"));
      expect(await store.groups("stream", { limit: 10 })).toEqual([]);
      await commit(store, group, put("z", 1));
      expect(await store.allGroups({ limit: 10 })).toEqual({ groups: [group], streamCount: 1 });
    });

    it("pages over the groups of all streams in order, and counts the streams", async () => {
      const { store } = await stores();
      const keys: GroupKey[] = [];
      for (const streamName of ["s", "s ", "t:1", "\u{1f600}", "\uffff"]) {
        for (const groupId of ["b", "a", ":"]) {
          keys.push({ streamName, groupId });
          await commit(store, { streamName, groupId }, put("i", 1));
        }
      }
      const bytes = ({ streamName, groupId }: GroupKey) =>
        [Buffer.from(streamName), Buffer.from(groupId)] as const;
      const sorted = keys.toSorted(
        (x, y) =>
          Buffer.compare(bytes(x)[0], bytes(y)[0]) || Buffer.compare(bytes(x)[1], bytes(y)[1]),
      );
      const seen: GroupKey[] = [];
      for (let after: GroupKey | undefined, done = false; !done; after = seen.at(-1)) {
        const page = await store.allGroups(
          after === undefined ? { limit: 4 } : { limit: 4, after },
        );
        expect(page.streamCount).toBe(5);
        seen.push(...page.groups);
        done = page.groups.length < 4;
      }
      expect(seen).toEqual(sorted);
    });

    it("distinguishes names that look alike", async () => {
      const { store } = await stores();
      const triples = [
        ["a:b", "c", "d"],
        ["a", "b:c", "d"],
        ["a", "b", "c:d"],
        ["a", "b", "d"],
        ["a", "é", "e\u0301"],
        ["a", "e\u0301", "é"],
        ["a ", "b", "d"],
        ["a", " b", "d"],
        ["a", "b", "d "],
        ["A", "b", "d"],
        ["__proto__", "__proto__", "__proto__"],
        ["\uffff", "\u{10000}", "a"],
        ["\u{10000}", "\uffff", "a"],
      ] as const;
      for (const [streamName, groupId, itemId] of triples) {
        const { position } = await commit(
          store,
          { streamName, groupId },
          put(itemId, [streamName, groupId, itemId], 0),
        );
        expect(position.revision).toBeLessThanOrEqual(3);
      }
      for (const [streamName, groupId, itemId] of triples) {
        const { item } = await store.get({ streamName, groupId }, itemId);
        expect(item?.value.json()).toEqual([streamName, groupId, itemId]);
      }
    });

    it("distinguishes nasty item ids and keeps them in creation order", async () => {
      const { store } = await stores();
      const group = groupOf("room");
      await commit(store, group, ...NASTY.map((id, i) => put(id, i)));
      expect(await contents(store, group)).toEqual(NASTY.map((id, i) => [id, i]));
      await commit(store, group, ...NASTY.map((id, i) => put(id, i + 100)));
      for (const [i, id] of NASTY.entries())
        expect((await store.get(group, id)).item?.value.json()).toBe(i + 100);
    });
  });
}
