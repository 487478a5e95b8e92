import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { openDisk } from "../../../src/stores/lmdb/disk.ts";

it("a disk returns exactly the bytes of a value, without those of longer ones before it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-disk-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const disk = openDisk(join(folder, "data.mdb"));
  onTestFinished(() => disk.close());
  const values = ["x".repeat(1000), "short", ""].map((text) => Buffer.from(text));
  const keyed = values.map((value, index) => ({ key: Buffer.of(index + 1), value }));
  const table = disk.tables.data;
  await disk.submit(keyed.map((each) => ({ table, ...each })));

  const view = disk.view();
  for (const { key, value } of keyed) {
    const read = view.get(table, key);
    expect(read?.byteLength).toBe(value.byteLength);
    expect(read?.toString()).toBe(value.toString());
  }
  const range = Array.from(view.range(table, Buffer.of(0), Buffer.of(9)));
  expect(range.map(({ value }) => value.byteLength)).toEqual([1000, 5, 0]);
  expect(range.map(({ value }) => value.toString())).toEqual(values.map(String));
  view.release();
});
