import { chmod, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { commit, groupOf, put } from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

describe("the files of an lmdb store", () => {
  const tempFolder = tempFolders();
  const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

  /** The modes of a folder and its files, while a store has it open and after. */
  async function modesIn(folder: string): Promise<Record<string, string>> {
    const modes: Record<string, string> = {};
    const look = async () => {
      modes["."] = await modeOf(folder);
      for (const name of await readdir(folder))
        modes[name.replace(/\.[\w-]{12}\./, ".*.")] = await modeOf(join(folder, name));
    };
    const store = await openLmdbStore({ folder, sweepIntervalMs: 0 });
    await commit(store, groupOf("room"), put("a", 1));
    await look();
    await store.close();
    await look();
    return modes;
  }

  const PRIVATE = {
    ".": "700",
    "millrace.mdb": "600",
    "millrace.mdb-lock": "600",
    "millrace.sock": "600",
    "millrace.*.life": "600",
    "millrace.*.closed": "600",
    "millrace.*.seen": "600",
  };

  it.each(["000", "022", "177"])(
    "are private to their owner, with a umask of %s",
    async (umask) => {
      const parent = await tempFolder();
      const before = process.umask(Number.parseInt(umask, 8));
      onTestFinished(() => void process.umask(before));
      const folder = join(parent, "new", "data");
      expect(await modesIn(folder)).toEqual(PRIVATE);
      expect(await modeOf(join(parent, "new"))).toBe("700");
    },
  );

  it("are private in a folder that was open to other users, or existed and was empty", async () => {
    const folder = join(await tempFolder(), "data");
    await mkdir(folder);
    await chmod(folder, 0o777);
    expect(await modesIn(folder)).toEqual(PRIVATE);
    for (const name of await readdir(folder)) await chmod(join(folder, name), 0o666);
    await chmod(folder, 0o755);
    expect(await modesIn(folder)).toEqual(PRIVATE);
  });

  it("are private in a shared folder, which keeps its mode", async () => {
    const folder = join(await tempFolder(), "shared");
    await mkdir(folder);
    await writeFile(join(folder, "other"), "");
    await chmod(folder, 0o755);
    await chmod(join(folder, "other"), 0o644);
    expect(await modesIn(folder)).toEqual({ ...PRIVATE, ".": "755", other: "644" });
  });
});
