import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Json, MAX_VALUE_BYTES, Value } from "../../../src/core/value.ts";
import { type LmdbStore, openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { arbitraryJson } from "../../wire/request/arbitrary-json.ts";
import { commit, groupOf, put, remove, testClock } from "../suite/fixture.ts";
import { brieflyWaiting, firing, record, waiting, waitingOf } from "../suite/outbox.ts";
import { tempFolders } from "./temp-folder.ts";

const FENCE = "";
const PARTITION = 0;

describe("the outbox of a reopened lmdb store", () => {
  const tempFolder = tempFolders();
  const group = groupOf("room");
  const open = (folder: string) => openLmdbStore({ folder, sweepIntervalMs: 0 });
  /** Reads all entries. */
  const entriesOf = async (store: LmdbStore) =>
    Promise.all(
      (await waiting(store)).flat().map(async ({ seq }) => store.outbox.read(PARTITION, seq)),
    );
  const settle = (store: LmdbStore, seq: number, triggers: string[], complete: boolean) =>
    store.outbox.settle(PARTITION, [{ seq, triggers, complete }], FENCE);
  const seqsOf = async (store: LmdbStore) => (await waiting(store)).flat().map(({ seq }) => seq);

  it("has every entry unchanged (G6)", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const first = await openLmdbStore({ folder, clock, sweepIntervalMs: 0 });
    await commit(
      first,
      group,
      firing(put("a", { deep: [null, "é"] }), "t"),
      put("quiet", 1),
      firing(put("a", null), "t", "u"),
      firing(remove("a"), "t"),
      record("b", 1, 2, { triggers: ["r"], depth: 7 }),
    );
    await first.broadcast(group, {
      type: "ping\u{1f600}",
      itemId: undefined,
      value: Value.of("all"),
      fires: { triggers: ["t"], depth: 3 },
    });
    const other = groupOf("groüp \u2028", "stream \u{1f600}");
    await first.broadcast(other, {
      type: "ping",
      itemId: 'item "1"',
      value: Value.of(["one"]),
      fires: { triggers: ["t"], depth: 0 },
    });
    const before = await entriesOf(first);
    expect(before).toHaveLength(6);
    await first.close();
    const second = await open(folder);
    expect(await entriesOf(second)).toStrictEqual(before);
    expect(await waiting(second)).toStrictEqual([
      before.map((entry) => {
        const { event: _event, ...head } = entry as NonNullable<typeof entry>;
        return head;
      }),
    ]);
    await second.close();
  });

  it("has only the remaining triggers of partly settled entries", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    await commit(
      first,
      group,
      firing(put("a", 1), "t", "u", "v"),
      firing(put("a", 2), "t", "u"),
      firing(put("a", 3), "t"),
      firing(put("a", 4), "t", "u"),
    );
    const [one, two, three, four] = (await seqsOf(first)) as [number, number, number, number];
    await settle(first, one, ["u"], false);
    await settle(first, two, ["t"], false);
    await settle(first, two, ["u"], true);
    await settle(first, three, ["t"], true);
    await settle(first, four, ["t"], false);
    await first.close();
    const second = await open(folder);
    expect(await brieflyWaiting(second, group)).toEqual([
      [["t", "v"], "create", "a", 1],
      [["u"], "update", "a", 4],
    ]);
    expect((await second.outbox.read(PARTITION, one))?.triggers).toEqual(["t", "v"]);
    expect(await second.outbox.read(PARTITION, two)).toBeUndefined();
    await settle(second, one, ["v"], false);
    await settle(second, four, ["u"], true);
    await second.close();
    const third = await open(folder);
    expect(await brieflyWaiting(third, group)).toEqual([[["t"], "create", "a", 1]]);
    await settle(third, one, ["t"], true);
    await third.close();
    const last = await open(folder);
    expect(await brieflyWaiting(last, group)).toEqual([]);
    await last.close();
  });

  it("numbers new entries after the existing ones", async () => {
    const folder = await tempFolder();
    let store = await open(folder);
    for (let round = 0; round < 5; round++) {
      await commit(store, group, firing(put("a", round), "t"), firing(put("b", round), "t"));
      const seqs = await seqsOf(store);
      // Each round removes the newest entry, so its number is free.
      await settle(store, seqs.at(-1) as number, ["t"], true);
      await store.close();
      store = await open(folder);
    }
    expect(await brieflyWaiting(store, group)).toEqual(
      Array.from({ length: 5 }, (_, round) => [
        ["t"],
        round === 0 ? "create" : "update",
        "a",
        round,
      ]),
    );
    const seqs = await seqsOf(store);
    expect(new Set(seqs).size).toBe(5);
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    await store.close();
  });

  it("does not apply the settled triggers of an earlier entry to a later one with its number", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    await commit(first, group, firing(put("a", 1), "t", "u"), firing(put("b", 1), "t", "u"));
    const [one, two] = (await seqsOf(first)) as [number, number];
    // Concurrent, so they share a batch.
    await Promise.all([
      settle(first, one, ["t"], false),
      settle(first, one, ["u"], true),
      first.outbox.settle(
        PARTITION,
        [
          { seq: two, triggers: ["u"], complete: false },
          { seq: two, triggers: ["t"], complete: true },
        ],
        FENCE,
      ),
    ]);
    await settle(first, one, ["t"], false);
    await first.close();
    const second = await open(folder);
    expect(await seqsOf(second)).toEqual([]);
    await commit(second, group, firing(put("a", 2), "t", "u"), firing(put("b", 2), "t", "u"));
    await second.close();
    const third = await open(folder);
    expect(await brieflyWaiting(third, group)).toEqual([
      [["t", "u"], "update", "a", 2],
      [["t", "u"], "update", "b", 2],
    ]);
    await third.close();
  });

  it("returns values of every kind unchanged", async () => {
    const folder = await tempFolder();
    const samples = fc.sample(arbitraryJson, { numRuns: 200, seed: 7 });
    const nasty: Json[] = [
      null,
      "",
      "\u0000\b\u001f\u007f\u0080\u00ff\u2028\u2029\ufeff\ufffd\uffff",
      "\ud83d\ude00\u{10ffff}é\u0301",
      { "": { "\u0000": "\ufeff" }, "\u{1f600}": ["ß"] },
      1.7976931348623157e308,
      5e-324,
    ];
    const all = [...nasty, ...samples];
    const first = await open(folder);
    await commit(first, group, ...all.map((json, i) => firing(put(`i${i}`, json), "t")));
    const written = all.map((json) => Value.of(json));
    const textsOf = async (store: LmdbStore) =>
      (await entriesOf(store)).map((entry) => [entry?.event.value.text, entry?.event.value.size]);
    const expected = written.map(({ text, size }) => [text, size]);
    expect(await textsOf(first)).toEqual(expected);
    await first.close();
    const second = await open(folder);
    expect(await textsOf(second)).toEqual(expected);
    await second.close();
  });

  it("returns the largest values, even of text with more bytes than characters", async () => {
    const folder = await tempFolder();
    const room = MAX_VALUE_BYTES - 16;
    const large = ["x".repeat(room), "é".repeat(room / 2), "\u{1f600}".repeat(room / 4)];
    const first = await open(folder);
    for (const text of large) await commit(first, group, firing(put("a", text), "t"));
    await first.close();
    const second = await open(folder);
    const entries = await entriesOf(second);
    expect(entries.map((entry) => entry?.event.value.json() === large.shift())).toEqual([
      true,
      true,
      true,
    ]);
    await second.close();
  });

  it("reads thousands of entries page by page", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    const puts = Array.from({ length: 3000 }, (_, i) => firing(put(`i${i}`, i), "t"));
    await first.run(
      group,
      puts.map((mutation) => ({ mutations: [mutation] })),
    );
    await first.close();
    const second = await open(folder);
    let after = 0;
    const pages: number[] = [];
    for (;;) {
      const page = await second.outbox.scan(PARTITION, after, 1000);
      if (page.length === 0) break;
      expect(page[0]?.seq).toBe(after + 1);
      pages.push(page.length);
      after = page.at(-1)?.seq ?? 0;
    }
    expect(pages).toEqual([1000, 1000, 1000]);
    expect((await waitingOf(second, group)).heads).toHaveLength(3000);
    await second.close();
  });

  it("refuses calls once the store is closed", async () => {
    const store = await open(await tempFolder());
    await commit(store, group, firing(put("a", 1), "t"));
    await store.close();
    const unavailable = { reason: "STORE_UNAVAILABLE" };
    await expect(store.outbox.scan(PARTITION, 0, 1)).rejects.toMatchObject(unavailable);
    await expect(store.outbox.read(PARTITION, 1)).rejects.toMatchObject(unavailable);
    await expect(settle(store, 1, ["t"], true)).rejects.toMatchObject(unavailable);
  });
});

describe("the records of an lmdb store", () => {
  const tempFolder = tempFolders();
  const open = (folder: string) => openLmdbStore({ folder, sweepIntervalMs: 0 });

  it("survive a restart, sorted by key, with the last text of each (G6)", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    expect(first.serviceState.entries()).toEqual([]);
    await first.serviceState.put("b/2", "old");
    await first.serviceState.put("b/2", "new \u{1f600}\u2028");
    await first.serviceState.put("a", "");
    await first.serviceState.put("c é", "x".repeat(100_000));
    await first.serviceState.put("gone", "1");
    await first.serviceState.delete("gone");
    await first.serviceState.delete("never there");
    const expected = [
      ["a", ""],
      ["b/2", "new \u{1f600}\u2028"],
      ["c é", "x".repeat(100_000)],
    ];
    expect(first.serviceState.entries()).toEqual(expected);
    await first.close();
    const second = await open(folder);
    expect(second.serviceState.entries()).toEqual(expected);
    await second.close();
  });

  it("are written in the order of the calls, and can be read once a call has resolved", async () => {
    const store = await open(await tempFolder());
    const calls = [
      store.serviceState.put("k", "1"),
      store.serviceState.delete("k"),
      store.serviceState.put("k", "2"),
      store.serviceState.put("j", "1"),
      store.serviceState.delete("j"),
    ];
    await Promise.all(calls);
    expect(store.serviceState.entries()).toEqual([["k", "2"]]);
    await store.close();
  });

  it("are refused once the store is closed", async () => {
    const store = await open(await tempFolder());
    await store.close();
    const unavailable = { reason: "STORE_UNAVAILABLE" };
    await expect(store.serviceState.put("k", "1")).rejects.toMatchObject(unavailable);
    await expect(store.serviceState.delete("k")).rejects.toMatchObject(unavailable);
  });
});
