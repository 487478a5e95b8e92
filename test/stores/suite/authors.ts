import { describe, expect, it } from "vitest";
import type { Item } from "../../../src/core/change.ts";
import type { GroupKey } from "../../../src/core/names.ts";
import type { Committed, Mutation, Store } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import {
  ALL,
  attempt,
  changesSince,
  groupOf,
  listen,
  mark,
  plain,
  put,
  remove,
} from "./fixture.ts";
import { firing, record, waitingOf } from "./outbox.ts";
import { storesOf } from "./setup.ts";

const group = groupOf("room");

/** Runs a commit of an author. */
export async function commitAs(
  store: Store,
  author: string | undefined,
  ...mutations: readonly Mutation[]
): Promise<Committed> {
  const outcome = await attempt(store, group, mutations, { author });
  if (!outcome.ok) throw outcome.error;
  return outcome;
}

/** Announces a firing transient event of an author. */
export function sendAs(store: Store, author: string | undefined, itemId?: string): Promise<void> {
  const fires = { triggers: ["t"], depth: 0 };
  return store.broadcast(group, { type: "ping", itemId, value: Value.of("all"), author, fires });
}

/** The authors of the outbox entries of a group. */
export async function waitingAuthors(
  store: Store,
  key: GroupKey = group,
): Promise<readonly (string | undefined)[]> {
  const { partition, heads } = await waitingOf(store, key);
  const entries = heads.map(async ({ seq }) => store.outbox.read(partition, seq));
  return (await Promise.all(entries)).map((entry) => entry?.event.author);
}

/** The authors of a group's log, oldest first. */
export async function loggedAuthors(store: Store): Promise<"lost" | readonly string[]> {
  const changes = await changesSince(store, group, 0);
  return changes === "lost" ? changes : changes.map(({ author }) => author);
}

/** The authors of a group's items. */
export function authorsOf(items: readonly Item[]): Record<string, string> {
  return Object.fromEntries(items.map(({ itemId, author }) => [itemId, author]));
}

/** Authors of changes, items and events. */
export function describeAuthors(open: OpenStore): void {
  const stores = storesOf(open);

  describe("authors", () => {
    it("are those of puts, reduces, deletes and changes made outside, in the log and in the feed", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      await commitAs(store, "user:ann", put("a", 1));
      await commitAs(store, "key:backend", mark("b", "x"));
      await commitAs(store, "function:f", record("c", 1, 2));
      await commitAs(store, undefined, put("a", 2));
      await commitAs(store, "", put("a", 3));
      await commitAs(store, "user:bob", remove("a"));
      await commitAs(store, "user:cy", record("c", 2, undefined));
      const authors = ["user:ann", "key:backend", "function:f", "", "", "user:bob", "user:cy"];
      expect(await loggedAuthors(store)).toEqual(authors);
      await recorder.received(7);
      expect(recorder.events.map(({ author }) => author)).toEqual(authors);
      const changes = await changesSince(store, group, 0);
      expect(recorder.events.map(plain)).toEqual(changes === "lost" ? [] : changes.map(plain));
      expect(changes).toMatchObject([
        { type: "create" },
        { type: "create" },
        { type: "update" },
        { type: "update" },
        { type: "update" },
        { type: "delete", value: { text: "3" } },
        { type: "delete", value: { text: "2" } },
      ]);
    });

    it("of a commit are those of all its changes", async () => {
      const { store } = await stores();
      await commitAs(store, undefined, put("old", 1));
      await commitAs(store, "user:ann", put("a", 1), mark("m", "x"), remove("old"), put("a", 2));
      expect(await loggedAuthors(store)).toEqual(["", ...Array<string>(4).fill("user:ann")]);
      expect(authorsOf((await store.list(group, ALL)).items)).toEqual({
        a: "user:ann",
        m: "user:ann",
      });
    });

    it("of an item are those of its last write, in get, list and snapshots", async () => {
      const { store } = await stores();
      await commitAs(store, "user:ann", put("a", { deep: [null, "é"] }), put("b", 1), put("c", 1));
      await commitAs(store, "user:bob", mark("m", "x"));
      await commitAs(store, "key:backend", put("b", 2));
      await commitAs(store, undefined, put("c", 2), mark("m", "y"));
      const expected = { a: "user:ann", b: "key:backend", c: "", m: "" };
      const { items } = await store.list(group, ALL);
      expect(authorsOf(items)).toEqual(expected);
      expect(items.map(({ value }) => value.json())).toEqual([{ deep: [null, "é"] }, 2, 2, "xy"]);
      const reader = await store.snapshot(group);
      expect(authorsOf((await reader.next(ALL)).items)).toEqual(expected);
      reader.close();
      for (const [itemId, author] of Object.entries(expected))
        expect((await store.get(group, itemId)).item).toMatchObject({ itemId, author });
    });

    it("leave values, sizes and results as they are without authors", async () => {
      const { store } = await stores();
      const value = { text: "é\u{1f600}".repeat(20) };
      await commitAs(store, undefined, put("plain", value));
      await commitAs(store, "user:ann", put("a", value));
      const replaced = await commitAs(store, "user:bob", put("a", "new"));
      expect(replaced.results[0]?.oldValue?.json()).toEqual(value);
      const removed = await commitAs(store, undefined, remove("a"));
      expect(removed.results[0]?.oldValue?.json()).toBe("new");
      const changes = await changesSince(store, group, 0);
      if (changes === "lost") throw new Error("The log is lost.");
      expect(changes[1]?.value.size).toBe(changes[0]?.value.size);
      expect(changes.map((change) => change.value.json())).toEqual([value, value, "new", "new"]);
    });

    it("may have the most bytes, and any text", async () => {
      const { store } = await stores();
      const longest = `user:${"é".repeat(128)}`;
      const odd = 'user:"\\ \u{1f600}';
      await commitAs(store, longest, put("a", 1));
      await commitAs(store, odd, put("b", 1));
      expect(authorsOf((await store.list(group, ALL)).items)).toEqual({ a: longest, b: odd });
      expect(await loggedAuthors(store)).toEqual([longest, odd]);
    });

    it("are those of transient events", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      await commitAs(store, "key:backend", put("a", 1));
      await sendAs(store, "user:ann");
      await sendAs(store, undefined, "a");
      await sendAs(store, "user:bob", "a");
      await recorder.received(4);
      expect(
        recorder.events.map(({ author, itemId, value }) => [author, itemId, value.json()]),
      ).toEqual([
        ["key:backend", "a", 1],
        ["user:ann", undefined, "all"],
        ["", "a", "all"],
        ["user:bob", "a", "all"],
      ]);
    });

    it("are those of outbox entries", async () => {
      const { store } = await stores();
      await commitAs(store, "user:ann", firing(put("a", 1), "t"));
      await commitAs(store, undefined, firing(put("a", 2), "t"));
      await sendAs(store, "user:bob");
      await sendAs(store, undefined);
      await commitAs(store, "function:f", firing(remove("a"), "t"));
      expect(await waitingAuthors(store)).toEqual(["user:ann", "", "user:bob", "", "function:f"]);
    });

    it("of commits that run together are each their own", async () => {
      const { store } = await stores();
      await Promise.all(
        ["user:ann", undefined, "user:bob", undefined].map((author, i) =>
          commitAs(store, author, i < 2 ? put(`${i}`, i) : mark(`${i}`, "x")),
        ),
      );
      expect(authorsOf((await store.list(group, ALL)).items)).toEqual({
        0: "user:ann",
        1: "",
        2: "user:bob",
        3: "",
      });
    });
  });
}
