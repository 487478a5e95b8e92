import { execFile } from "node:child_process";
import { readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { Position } from "../../../src/core/position.ts";
import { Value } from "../../../src/core/value.ts";
import { openLmdbStore, type LmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { openFolder } from "../../../src/stores/lmdb/folder/open-folder.ts";
import { startChild } from "../../support/long/child-server.ts";
import { commit, contents, groupOf, listen, put, testClock } from "../suite/fixture.ts";
import { RESTORE_WAYS, hasProgram } from "./restore-ways.ts";
import { tempFolders } from "./temp-folder.ts";

const run = promisify(execFile);
const group = groupOf("room");
const limits = { maxCount: 10, maxBytes: 1000 };
const DATA = "millrace.mdb";

const open = (folder: string) => openLmdbStore({ folder, sweepIntervalMs: 0 });

/** Writes some changes. @returns The position after each of them. */
async function write(store: LmdbStore, count: number): Promise<Position[]> {
  const seen: Position[] = [];
  for (let i = 0; i < count; i++) seen.push((await commit(store, group, put("a", i))).position);
  return seen;
}

/** Sets an item by a call to a service. @returns The position after it. */
async function setOver(url: string, data: number): Promise<Position> {
  const response = await fetch(`${url}/millrace.v1.StreamService/Set`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...group, itemId: "a", data }),
  });
  const { position } = (await response.json()) as {
    position: { epoch: string; revision: string };
  };
  return { epoch: position.epoch, revision: Number(position.revision) };
}

/** The positions from which a store resumes. */
async function honoured(store: LmdbStore, positions: readonly Position[]): Promise<Position[]> {
  const found = await Promise.all(
    positions.map((position) => store.since(group, position, limits)),
  );
  return positions.filter((_, i) => found[i]?.lost === false);
}

describe("data that was restored from a backup", () => {
  const tempFolder = tempFolders();

  for (const way of RESTORE_WAYS) {
    it(`honours no earlier position: ${way.name} (G4)`, async ({ skip }) => {
      if (!(await hasProgram(way.program))) skip(`${way.program} is not installed`);
      const folder = join(await tempFolder(), "data");
      const backup = join(await tempFolder(), "backup");
      const first = await open(folder);
      const before = await write(first, 3);
      await first.close();
      await way.backUp(folder, backup);
      const second = await open(folder);
      const after = await write(second, 3);
      expect(await honoured(second, [...before, ...after])).toHaveLength(6);
      await second.close();
      await way.restore(backup, folder);

      const restored = await open(folder);
      // Its history is as long as the earlier one, with other changes.
      const own = await write(restored, 6);
      expect(await honoured(restored, [...before, ...after])).toEqual([]);
      await restored.close();
      const again = await open(folder);
      expect(await honoured(again, own)).toHaveLength(6);
      await again.close();
    });
  }

  it("raises the timestamp of a sync to the start of its lineage, and later events follow it", async () => {
    const folder = join(await tempFolder(), "data");
    const backup = join(await tempFolder(), "backup");
    const clock = testClock();
    const openAt = () => openLmdbStore({ folder, sweepIntervalMs: 0, clock });
    const first = await openAt();
    await commit(first, group, put("a", 1));
    await first.close();
    await run("cp", ["-a", folder, backup]);
    await rm(folder, { recursive: true });
    await run("cp", ["-a", backup, folder]);
    clock.nowMs += 5000;
    const beganMs = clock.nowMs;
    for (let life = 0; life < 2; life++) {
      const restored = await openAt();
      expect(await restored.get(group, "a")).toMatchObject({
        timestamp: beganMs - 5000,
        syncTimestamp: beganMs,
      });
      await restored.close();
      clock.nowMs += 1000;
    }
    // Even if the clock is set back.
    clock.nowMs = beganMs - 1000;
    const store = await openAt();
    const ear = await listen(store, group);
    await store.broadcast(group, { type: "t", itemId: undefined, value: Value.of(1) });
    await commit(store, group, put("a", 2));
    await ear.received(2);
    expect(ear.events.map(({ timestamp }) => timestamp)).toEqual([beganMs + 1, beganMs + 2]);
    const reader = await store.snapshot(group);
    expect(await reader.next(limits)).toMatchObject({ syncTimestamp: beganMs + 2 });
    reader.close();
    await store.close();
  });

  it("is recognised when it was copied and restored within one opening (G4)", async () => {
    const folder = await tempFolder();
    const backup = join(await tempFolder(), DATA);
    const store = await open(folder);
    await write(store, 3);
    await run("cp", ["-a", join(folder, DATA), backup]);
    const after = await write(store, 3);
    await store.close();
    await run("cp", ["-a", backup, join(folder, DATA)]);

    const restored = await open(folder);
    await write(restored, 3);
    expect(await honoured(restored, after)).toEqual([]);
    await restored.close();
  });

  it("keeps its epochs after kill -9, unless an older data file was restored since (G4)", async () => {
    const folder = await tempFolder();
    const backup = join(await tempFolder(), DATA);
    const options = { port: 0, store: { kind: "file_based", folder } };
    const seen: Position[] = [];
    /** A life that ends by kill -9, with a copy of its data file in between. */
    const crash = async () => {
      const server = await startChild(options);
      for (let i = 0; i < 4; i++) {
        if (i === 2) await run("cp", ["-a", join(folder, DATA), backup]);
        seen.push(await setOver(server.url, i));
      }
      await server.kill();
    };
    await crash();
    const whole = await open(folder);
    expect(await honoured(whole, seen)).toHaveLength(4);
    await whole.close();

    await crash();
    await run("cp", [backup, join(folder, DATA)]);
    const restored = await open(folder);
    await write(restored, 4);
    expect(await honoured(restored, seen)).toEqual([]);
    await restored.close();
  });

  it("has new epochs after kill -9 when an older data file was restored with its lock file (G4)", async () => {
    const folder = await tempFolder();
    const backup = await tempFolder();
    const files = [DATA, `${DATA}-lock`];
    const server = await startChild({ port: 0, store: { kind: "file_based", folder } });
    const seen: Position[] = [await setOver(server.url, 0)];
    for (const name of files) await run("cp", [join(folder, name), join(backup, name)]);
    const note = (await readdir(folder)).find((name) => name.endsWith(".seen")) ?? "missing";
    const noted = () => readFile(join(folder, note), "utf8");
    await expect.poll(noted).toMatch(/\d/);
    const before = await noted();
    for (let i = 1; i < 4; i++) seen.push(await setOver(server.url, i));
    await expect.poll(noted).not.toBe(before);
    await server.kill();
    for (const name of files) await run("cp", [join(backup, name), join(folder, name)]);
    const restored = await open(folder);
    await write(restored, 4);
    expect(await honoured(restored, seen)).toEqual([]);
    await restored.close();
  });

  it("keeps its epochs after a restart, a move, and a change of owner or mode", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    const seen = await write(first, 3);
    await first.close();
    await run("chmod", ["-R", "u+x", folder]);
    await run("chown", ["-R", String(process.getuid?.()), folder]);
    const second = await open(folder);
    expect(await honoured(second, seen)).toHaveLength(3);
    seen.push(...(await write(second, 3)));
    await second.close();
    const moved = `${folder}-moved`;
    await rename(folder, moved);
    const third = await open(moved);
    expect(await honoured(third, seen)).toHaveLength(6);
    await third.close();
    await rm(moved, { recursive: true });
  });

  it("keeps its epochs when an earlier stop or start was interrupted", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    const seen = await write(first, 3);
    await first.close();
    // A start that was interrupted before its record, and a stop before its end.
    await writeFile(join(folder, "millrace.AAAAAAAAAAAA.life"), "Do not");
    const ends = (await readdir(folder)).filter((name) => name.endsWith(".closed"));
    expect(ends).toHaveLength(1);
    for (const name of ends) await writeFile(join(folder, name), "");
    const second = await open(folder);
    expect(await honoured(second, seen)).toHaveLength(3);
    expect((await readdir(folder)).filter((name) => name.endsWith(".life"))).toHaveLength(1);
    await second.close();
  });

  it("has new epochs once when the operator requests it", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    const seen = await write(first, 3);
    await first.close();
    const fresh = await openLmdbStore({ folder, sweepIntervalMs: 0, beginNewEpochs: true });
    expect(await honoured(fresh, seen)).toEqual([]);
    const own = await write(fresh, 1);
    expect(await contents(fresh, group)).toEqual([["a", 0]]);
    await fresh.close();
    const again = await open(folder);
    expect(await honoured(again, own)).toEqual(own);
    await again.close();
  });

  it("has new epochs when a file of its life is missing", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    const seen = await write(first, 1);
    await first.close();
    await run("find", [folder, "-name", "*.life", "-delete"]);
    const second = await open(folder);
    expect(await honoured(second, seen)).toEqual([]);
    await second.close();
  });

  it("has new epochs when its record is of a version that recognised copies by inode", async () => {
    const folder = await tempFolder();
    const first = await open(folder);
    const seen = await write(first, 1);
    await first.close();
    const disk = await openFolder(folder);
    const record = Buffer.from("1234567 ");
    await disk.submit([{ table: disk.tables.meta, key: Buffer.from("lineage"), value: record }]);
    await disk.close();
    const second = await open(folder);
    expect(await honoured(second, seen)).toEqual([]);
    expect(await contents(second, group)).toEqual([["a", 0]]);
    await second.close();
  });

  it("has the start of its lineage, and 0 for data that was never restored", async () => {
    const folder = await tempFolder();
    const nowMs = 1_700_000_000_000;
    const lineageOf = async (options: { beginNewEpochs?: boolean; clock?: () => number } = {}) => {
      const disk = await openFolder(folder, options);
      await disk.close();
      return { lineage: disk.lineage, beganMs: disk.beganMs };
    };
    expect(await lineageOf()).toEqual({ lineage: "", beganMs: 0 });
    const began = await lineageOf({ beginNewEpochs: true, clock: () => nowMs });
    expect(began).toEqual({ lineage: expect.stringMatching(/./), beganMs: nowMs });
    expect(await lineageOf()).toEqual(began);
    await writeFile(join(folder, "RESTORED"), "");
    expect((await lineageOf()).lineage).not.toBe(began.lineage);
  });
});
