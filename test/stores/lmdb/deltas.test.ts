import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChangeEvent } from "../../../src/core/change.ts";
import { Delta } from "../../../src/core/delta.ts";
import { type LogEntry, entrySize } from "../../../src/core/log-entry.ts";
import type { History } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import {
  EMPTY_LOG,
  NO_GROUP,
  decodeLogEntry,
  decodeGroup,
  encodeLogEntry,
  encodeGroup,
  entryExtent,
} from "../../../src/stores/lmdb/encoding.ts";
import { openFolder } from "../../../src/stores/lmdb/folder/open-folder.ts";
import { changeKey, groupName } from "../../../src/stores/lmdb/keys.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { op } from "../../core/op-builders.ts";
import { anyCommits, expectLog, update } from "../suite/deltas.ts";
import { commit, groupOf, listen, put, remove, testClock } from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

const group = groupOf("room");
const LONG = { text: "x".repeat(400) };

describe("deltas in an lmdb store", () => {
  const tempFolder = tempFolders();

  /** Revisions of the entries on the disk, and the format of the data. */
  const onDisk = async (folder: string) => {
    const disk = await openFolder(folder);
    const view = disk.view();
    const name = groupName(group);
    const { data, meta } = disk.tables;
    const keys = view.range(data, changeKey(name, 0), changeKey(name, Number.MAX_SAFE_INTEGER));
    const entries = Array.from(keys, ({ value }) => value);
    const format = view.get(meta, Buffer.from("format"))?.toString();
    const bytes = entries.reduce((sum, { length }) => sum + length, 0);
    view.release();
    await disk.close();
    return { count: entries.length, bytes, format };
  };

  it.each(["", "user:ann"])("are read as they were written, with the author '%s'", (author) => {
    const delta = Delta.of(5, [op.append(["text"], "é")]);
    const shared = {
      itemId: "tée",
      position: { epoch: "e", revision: 7 },
      timestamp: 1_700_000_000_002,
      timeMs: 1_700_000_000_001,
      author,
      delta,
    };
    const chain = { wholeRevision: 2, changes: 64, bytes: 70_000 };
    const entries: LogEntry[] = [
      { kind: "delta", ...shared, valueSize: 1_000_000, chain },
      { kind: "change", type: "update", ...shared, value: Value.of({ n: "é" }) },
    ];
    for (const entry of entries) {
      const bytes = encodeLogEntry(entry);
      expect(decodeLogEntry(bytes, "e", 7)).toEqual(entry);
      expect(entryExtent(bytes)).toEqual({ timeMs: shared.timeMs, size: entrySize(entry) });
    }
  });

  it("pin bases in the record of their group", () => {
    const pins = Array.from({ length: 8 }, (_, i) => ({ from: 2 ** 40 + i, to: 2 ** 41 + i }));
    for (const count of [0, 1, 8]) {
      const log = { ...EMPTY_LOG, pins: pins.slice(0, count) };
      const record = { ...NO_GROUP, epoch: "e", log };
      expect(decodeGroup(encodeGroup(record))).toEqual(record);
    }
  });

  it("are replayed after restarts, wherever the log is trimmed (G4, G6)", async () => {
    const limits: fc.Arbitrary<Partial<History>> = fc.record({
      maxChanges: fc.constantFrom(1, 3, 10, 1000),
      maxBytes: fc.constantFrom(300, 1_000_000),
    });
    await fc.assert(
      fc.asyncProperty(limits, anyCommits, async (history, commits) => {
        const folder = await tempFolder();
        const clock = testClock();
        const changes: ChangeEvent[] = [];
        for (let at = 0; at < commits.length; at += 3) {
          const store = await openLmdbStore({ folder, clock, history, sweepIntervalMs: 0 });
          const recorder = await listen(store, group);
          for (const mutations of commits.slice(at, at + 3))
            await commit(store, group, ...mutations);
          changes.push(...(recorder.events as readonly ChangeEvent[]));
          await expectLog(store, group, changes);
          await store.close();
          const { count } = await onDisk(folder);
          // Trimmed entries are removed several at a time.
          expect(count).toBeLessThanOrEqual(3 * ((history.maxChanges ?? 0) + 5) + 32);
        }
      }),
      { numRuns: 12 },
    );
  });

  it("and their bases are removed from the disk when the log is empty", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const history = { maxAgeMs: 1000 };
    const store = await openLmdbStore({ folder, clock, history, sweepIntervalMs: 0 });
    await commit(store, group, put("a", LONG));
    for (let i = 0; i < 10; i++) {
      await commit(store, group, update("a", op.append(["text"], "y")));
      clock.nowMs += 150;
    }
    clock.nowMs += 2000;
    await store.sweep();
    await store.close();
    expect(await onDisk(folder)).toMatchObject({ count: 0 });
  });

  it("of a group that was forgotten leave nothing, in the same batch as its next history", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const history = { maxAgeMs: 1000 };
    const store = await openLmdbStore({ folder, clock, history, sweepIntervalMs: 0 });
    await commit(store, group, put("a", LONG), update("a", op.append(["text"], "y")));
    await commit(store, group, update("a", op.append(["text"], "y")), remove("a"));
    clock.nowMs += 2100;
    const recorder = await listen(store, group);
    await Promise.all([
      store.sweep(),
      commit(store, group, put("a", LONG), update("a", op.append(["text"], "z"))),
    ]);
    await expectLog(store, group, recorder.events as readonly ChangeEvent[]);
    await store.close();
    expect(await onDisk(folder)).toMatchObject({ count: 2 });
  });

  it("get a format that earlier versions refuse with the first of them, and keep it", async () => {
    const folder = await tempFolder();
    const inStore = async (...mutations: Parameters<typeof commit>[2][]) => {
      const store = await openLmdbStore({ folder, sweepIntervalMs: 0 });
      await commit(store, group, ...mutations);
      await store.close();
      return (await onDisk(folder)).format;
    };
    expect(await inStore(put("a", LONG), update("a", op.set("text", 1)))).toBe("1");
    expect(await inStore(put("a", LONG), update("a", op.append(["text"], "y")))).toBe("3");
    expect(await inStore(put("a", 1))).toBe("3");
  });

  it("cost the log at most 6 times what the steps of 4,000 appends take", async () => {
    const folder = await tempFolder();
    const store = await openLmdbStore({ folder, history: { maxChanges: 10_000 } });
    await commit(store, group, put("a", {}));
    let ops = 0;
    for (let i = 0; i < 4000; i += 100) {
      const updates = Array.from({ length: 100 }, (_, k) => {
        const each = op.append(["text"], String(i + k).padStart(6, "0"));
        ops += Delta.of(i + k + 1, [each]).size;
        return update("a", each);
      });
      await commit(store, group, ...updates);
    }
    await store.close();
    const { bytes, count } = await onDisk(folder);
    expect(count).toBe(4001);
    expect(bytes / ops).toBeLessThan(6);
  });
});
