import { describe, expect, it } from "vitest";
import { Value } from "../../../src/core/value.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import type { LmdbStoreOptions } from "../../../src/stores/lmdb/lmdb-store.ts";
import {
  ALL,
  changesSince,
  commit,
  contents,
  groupOf,
  listen,
  put,
  remove,
  testClock,
} from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

describe("a reopened lmdb store", () => {
  const tempFolder = tempFolders();
  const group = groupOf("room");
  const open = (folder: string, rest: Omit<LmdbStoreOptions, "folder"> = {}) =>
    openLmdbStore({ folder, sweepIntervalMs: 0, ...rest });

  it("has all items, their order, the log, positions and groups (G6)", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    await commit(first, group, put("a", 1), put("b", { deep: [null, "é"] }), put("c", null));
    await commit(first, group, remove("a"), put("a", 2), put("b", "\u{1f600}"));
    await commit(first, groupOf("other", "stream2"), put("x", 1));
    await commit(first, groupOf("emptied"), put("x", 1), remove("x"));
    const groups = [group, groupOf("other", "stream2"), groupOf("emptied")];
    const look = async (store: typeof first) => ({
      heads: await store.heads(groups),
      lists: await Promise.all(groups.map((key) => store.list(key, ALL))),
      logs: await Promise.all(groups.map((key) => changesSince(store, key, 0))),
      all: await store.allGroups({ limit: 10 }),
    });
    const before = await look(first);
    await first.close();
    const second = await open(folder);
    expect(await look(second)).toEqual(before);
    expect(before.all.streamCount).toBe(2);
    const next = await commit(second, group, put("d", 1));
    expect(next.position).toEqual({ epoch: before.heads[0]?.position.epoch, revision: 7 });
    expect(await contents(second, group)).toEqual([
      ["b", "\u{1f600}"],
      ["c", null],
      ["a", 2],
      ["d", 1],
    ]);
    await second.close();
  });

  it("continues with increasing timestamps, even after transient events and when the clock goes back", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const start = clock.nowMs;
    const first = await open(folder, { clock });
    await commit(first, group, put("a", 1));
    await first.broadcast(group, { type: "ping", itemId: undefined, value: Value.of(1) });
    await first.broadcast(groupOf("quiet"), {
      type: "ping",
      itemId: undefined,
      value: Value.of(1),
    });
    await first.close();
    clock.nowMs -= 60_000;
    const second = await open(folder, { clock });
    const ears = [await listen(second, group), await listen(second, groupOf("quiet"))];
    await commit(second, group, put("a", 2));
    await second.broadcast(groupOf("quiet"), {
      type: "ping",
      itemId: undefined,
      value: Value.of(1),
    });
    expect(ears.map((ear) => ear.events.map(({ timestamp }) => timestamp))).toEqual([
      [start + 2],
      [start + 1],
    ]);
    await second.close();
  });

  it("uses the history limits of the new start", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    for (let i = 0; i < 300; i++) await first.run(group, [{ mutations: [put("a", i)] }]);
    await first.close();
    const second = await open(folder, { history: { maxChanges: 5 } });
    expect(await changesSince(second, group, 294)).toBe("lost");
    expect(await changesSince(second, group, 295)).toHaveLength(5);
    // Excess history is dropped in steps.
    for (let i = 0; i < 10; i++) {
      await commit(second, group, put("a", i));
      expect(await changesSince(second, group, 295 + i)).toBe("lost");
      expect(await changesSince(second, group, 296 + i)).toHaveLength(5);
    }
    await second.close();
  });

  it("forgets a group that became due while the store was closed", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const history = { maxAgeMs: 60_000 };
    const first = await open(folder, { clock, history });
    await commit(first, group, put("a", 1), remove("a"));
    await first.close();
    clock.nowMs += 60_002;
    const second = await open(folder, { clock, history });
    await second.sweep();
    expect(await second.heads([group])).toEqual([
      { position: { epoch: "", revision: 0 }, timestamp: 0 },
    ]);
    await second.close();
  });

  it("sweeps quiet groups by itself", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const store = await open(folder, { clock, history: { maxAgeMs: 60_000 }, sweepIntervalMs: 1 });
    await commit(store, group, put("a", 1), remove("a"));
    clock.nowMs += 60_002;
    await expect
      .poll(async () => (await store.heads([group]))[0]?.position.epoch, { interval: 2 })
      .toBe("");
    await store.close();
  });
});
