import { cp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { commit, contents, groupOf, put } from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

describe("data that was copied or restored", () => {
  const tempFolder = tempFolders();
  const group = groupOf("room");
  const open = (folder: string) => openLmdbStore({ folder, sweepIntervalMs: 0 });
  const limits = { maxCount: 10, maxBytes: 1000 };

  /** Fills a folder with one group of two changes. @returns The position after the second. */
  async function prepare(folder: string) {
    const store = await open(folder);
    await commit(store, group, put("a", 1));
    const { position } = await commit(store, group, put("b", 2));
    await store.close();
    return position;
  }

  it("has new epochs, so no earlier position is honoured, and keeps its items (G4)", async () => {
    const folder = await tempFolder();
    const backup = join(await tempFolder(), "backup");
    const position = await prepare(folder);
    await cp(folder, backup, { recursive: true });
    const original = await open(folder);
    const seen = (await commit(original, group, put("c", 3))).position;
    await original.close();

    const restored = await open(backup);
    const [head] = await restored.heads([group]);
    expect(head?.position.revision).toBe(2);
    expect(head?.position.epoch).not.toBe(position.epoch);
    expect(await contents(restored, group)).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
    for (const old of [position, seen]) {
      expect(await restored.since(group, old, limits)).toMatchObject({ lost: true });
    }
    // Its own positions are honoured, before and after it is opened again.
    const next = await commit(restored, group, put("d", 4));
    expect(next.position).toEqual({ epoch: head?.position.epoch, revision: 3 });
    await restored.close();
    const again = await open(backup);
    expect(await again.since(group, head?.position ?? position, limits)).toMatchObject({
      lost: false,
    });
    await again.close();
  });

  it("has different epochs in two restores: neither honours a position of the other", async () => {
    const backup = await tempFolder();
    await prepare(backup);
    const epochs: string[] = [];
    for (const name of ["one", "two"]) {
      const copy = join(await tempFolder(), name);
      await cp(backup, copy, { recursive: true });
      const store = await open(copy);
      epochs.push((await store.heads([group]))[0]?.position.epoch ?? "");
      // New groups get the epochs of this restore, too.
      const fresh = await commit(store, groupOf("fresh"), put("x", 1));
      expect((await store.heads([groupOf("fresh")]))[0]?.position).toEqual(fresh.position);
      await store.close();
    }
    expect(new Set(epochs).size).toBe(2);
  });

  it("keeps its epochs when the folder is only moved", async () => {
    const folder = await tempFolder();
    const position = await prepare(folder);
    const moved = `${folder}-moved`;
    await rename(folder, moved);
    const store = await open(moved);
    expect((await store.heads([group]))[0]?.position).toEqual(position);
    await store.close();
    await rm(moved, { recursive: true });
  });

  it("has new epochs once when the folder has a file named RESTORED", async () => {
    const folder = await tempFolder();
    const position = await prepare(folder);
    await writeFile(join(folder, "RESTORED"), "");
    const first = await open(folder);
    const epoch = (await first.heads([group]))[0]?.position.epoch;
    expect(epoch).not.toBe(position.epoch);
    await first.close();
    const second = await open(folder);
    expect((await second.heads([group]))[0]?.position.epoch).toBe(epoch);
    await second.close();
  });
});
