import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openFolder } from "../../../src/stores/lmdb/folder/open-folder.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { commit, contents, groupOf, put } from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

describe("the folder of an lmdb store", () => {
  const tempFolder = tempFolders();
  const group = groupOf("room");
  let child: ChildProcess | undefined;
  afterEach(() => child?.kill("SIGKILL"));

  /** A process that locks a folder like a store does. */
  const holdElsewhere = async (folder: string): Promise<void> => {
    const code = `require("node:net").createServer((s) => s.destroy()).listen(process.argv[1], () => console.log("ready"))`;
    child = spawn(process.execPath, ["-e", code, join(folder, "millrace.sock")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => child?.stdout?.once("data", resolve));
  };
  const killHolder = async (): Promise<void> => {
    const gone = new Promise((resolve) => child?.once("exit", resolve));
    child?.kill("SIGKILL");
    await gone;
  };

  const refused = async (folder: string) => {
    const error: unknown = await openLmdbStore({ folder }).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: "StreamError", reason: "STORE_UNAVAILABLE" });
    expect((error as Error).message).toContain(folder);
    return (error as Error).message;
  };

  it("is created with its parents", async () => {
    const folder = join(await tempFolder(), "a", "b", "c");
    const store = await openLmdbStore({ folder });
    await commit(store, group, put("a", 1));
    await store.close();
    expect((await stat(folder)).isDirectory()).toBe(true);
  });

  it("is refused to a second store of the same process until the first has closed", async () => {
    const folder = await tempFolder();
    const store = await openLmdbStore({ folder });
    expect(await refused(folder)).toMatch(/in use/);
    await commit(store, group, put("a", 1));
    await store.close();
    const again = await openLmdbStore({ folder });
    expect(await contents(again, group)).toEqual([["a", 1]]);
    await again.close();
  });

  it("is given to one of several stores that open it at once", async () => {
    const folder = await tempFolder();
    const attempts = await Promise.allSettled(
      Array.from({ length: 8 }, () => openLmdbStore({ folder })),
    );
    const won = attempts.flatMap((attempt) =>
      attempt.status === "fulfilled" ? [attempt.value] : [],
    );
    expect(won).toHaveLength(1);
    await won[0]?.close();
  });

  it("is refused while another process has it, and can be opened after that was killed", async () => {
    const folder = await tempFolder();
    await holdElsewhere(folder);
    expect(await refused(folder)).toMatch(/in use/);
    await killHolder();
    expect((await stat(join(folder, "millrace.sock"))).isSocket()).toBe(true);
    const attempts = await Promise.allSettled(
      Array.from({ length: 8 }, () => openLmdbStore({ folder })),
    );
    const won = attempts.flatMap((attempt) =>
      attempt.status === "fulfilled" ? [attempt.value] : [],
    );
    expect(won).toHaveLength(1);
    await won[0]?.close();
  });

  it("may have a path that is longer than a socket address", async () => {
    const folder = join(await tempFolder(), "long".repeat(20), "path".repeat(20), "x");
    const store = await openLmdbStore({ folder });
    expect(await refused(folder)).toMatch(/in use/);
    await commit(store, group, put("a", 1));
    await store.close();
    await (await openLmdbStore({ folder })).close();
  });

  it("is refused when its path is a file, or leads through one", async () => {
    const folder = await tempFolder();
    const file = join(folder, "file");
    await writeFile(file, "mine");
    expect(await refused(file)).toMatch(/is a file|not a folder/);
    expect(await refused(join(file, "below"))).toMatch(/not a folder/);
    expect(await readFile(file, "utf8")).toBe("mine");
  });

  it("is refused when it cannot be created", async () => {
    expect(await refused("/proc/millrace")).toMatch(/choose another folder/);
  });

  it.each([
    ["text", Buffer.from("not a database")],
    ["noise", Buffer.alloc(100_000, 7)],
    ["zeros", Buffer.alloc(100_000)],
    ["half a page", Buffer.alloc(1000, 1)],
  ])("is refused when its data file holds %s", async (_, bytes) => {
    const folder = await tempFolder();
    const file = join(folder, "millrace.mdb");
    await writeFile(file, bytes);
    expect(await refused(folder)).toMatch(/not a database/);
    expect((await readFile(file)).equals(bytes)).toBe(true);
  });

  it("is refused when its data file is truncated", async () => {
    const folder = await tempFolder();
    await (await openLmdbStore({ folder })).close();
    const file = join(folder, "millrace.mdb");
    await writeFile(file, (await readFile(file)).subarray(0, 5000));
    expect(await refused(folder)).toMatch(/not a database/);
  });

  it("is accepted when its data file is empty, or was never written", async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(8192)]) {
      const folder = await tempFolder();
      await writeFile(join(folder, "millrace.mdb"), bytes);
      const store = await openLmdbStore({ folder });
      await commit(store, group, put("a", 1));
      await store.close();
    }
  });

  it("is refused when its data has a format of another version", async () => {
    const folder = await tempFolder();
    const disk = await openFolder(folder);
    await disk.submit([
      { table: disk.tables.meta, key: Buffer.from("format"), value: Buffer.from("9") },
    ]);
    await disk.close();
    expect(await refused(folder)).toMatch(/format 9.*formats 1, 2, 3, 4;/);
    // The refusal released the folder.
    expect(await refused(folder)).toMatch(/format 9/);
  });

  it("is refused when its data file is not a file", async () => {
    const folder = await tempFolder();
    await mkdir(join(folder, "millrace.mdb"));
    expect(await refused(folder)).toMatch(/choose another folder/);
  });
});
