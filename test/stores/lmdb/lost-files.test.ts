import {
  copyFile,
  cp,
  mkdir,
  open,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { createServer } from "millrace/server";
import { describe, expect, it, onTestFinished } from "vitest";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { lockByName } from "../../../src/stores/lmdb/folder/name-lock.ts";
import { startChild } from "../../support/long/child-server.ts";
import { commit, contents, groupOf, put } from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

const group = groupOf("room");
const DATA = "millrace.mdb";
const LOCK = "millrace.mdb-lock";
const SOCKET = "millrace.sock";
const LIMITS = { maxCount: 100, maxBytes: 1024 * 1024 };

describe("the folder of an lmdb store whose files are removed or replaced while it is open", () => {
  const tempFolder = tempFolders();

  const openStore = async (folder: string) => {
    const store = await openLmdbStore({ folder, sweepIntervalMs: 0 });
    onTestFinished(() => store.close());
    return store;
  };

  it("is refused to other stores, whichever file beside the data was removed (G6)", async () => {
    const folder = await tempFolder();
    const store = await openStore(folder);
    await commit(store, group, put("a", 1));
    for (const name of [SOCKET, LOCK]) {
      await rm(join(folder, name));
      await expect(openLmdbStore({ folder })).rejects.toMatchObject({
        reason: "STORE_UNAVAILABLE",
        message: expect.stringContaining("in use by another store"),
      });
    }
  });

  it.runIf(process.platform === "linux")(
    "is refused by the name of its data file where there is no lock of files",
    async () => {
      const path = join(await tempFolder(), DATA);
      const files = await Promise.all([1, 2].map(() => open(path, "a")));
      const [first, second] = files;
      if (first === undefined || second === undefined) throw new Error("two files");
      const release = await lockByName(first);
      expect(release).toBeDefined();
      expect(await lockByName(second)).toBeUndefined();
      release?.();
      const again = await lockByName(second);
      expect(again).toBeDefined();
      again?.();
      await Promise.all(files.map((file) => file.close()));
    },
  );

  it("is refused to another process, even when the socket was removed (G6)", async () => {
    const folder = await tempFolder();
    const options = { port: 0, store: { kind: "file_based", folder } };
    const server = await startChild(options);
    await rm(join(folder, SOCKET));
    await expect(startChild(options)).rejects.toThrow(/in use by another store/);
    // The lock ends with the process.
    await server.kill();
    await openStore(folder);
  });

  it.each([
    ["the socket is removed", SOCKET, (path: string) => rm(path)],
    ["the lock file is removed", LOCK, (path: string) => rm(path)],
    ["the data file is removed", DATA, (path: string) => rm(path)],
    ["the data file is moved away", DATA, (path: string) => rename(path, `${path}.old`)],
    [
      "the data file is replaced by a copy",
      DATA,
      async (path: string) => {
        await copyFile(path, `${path}.copy`);
        await rename(`${path}.copy`, path);
      },
    ],
    [
      "the socket is replaced by a file",
      SOCKET,
      async (path: string) => {
        await rm(path);
        await writeFile(path, "");
      },
    ],
  ])("takes no more writes once %s, and says so (G6)", async (_, name, lose) => {
    const folder = await tempFolder();
    const store = await openStore(folder);
    await commit(store, group, put("a", 1));
    await lose(join(folder, name));
    await expect.poll(() => store.failure?.message).toContain(`The file ${name} of the data was`);
    await expect(store.run(group, [{ mutations: [put("b", 2)] }])).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: expect.stringMatching(/takes no more writes until the service is restarted/),
    });
    // Callers do not learn the path of the data; the log has it.
    expect(store.failure?.message).not.toContain(folder);
    expect(String(store.failure?.cause)).toContain(join(folder, name));
    expect(await contents(store, group)).toEqual([["a", 1]]);
  });

  it.each(["a writer", "nobody"])(
    "detects an older copy written over the data file while %s writes, and has new epochs at the next start (G4)",
    async (who) => {
      const folder = await tempFolder();
      const path = join(folder, DATA);
      const store = await openLmdbStore({ folder, sweepIntervalMs: 0 });
      await commit(store, group, put("a", 1));
      const older = await readFile(path);
      await commit(store, group, put("b", 2));
      const { position } = await store.get(group, "b");
      const file = await open(path, "r+");
      await file.write(older, 0, older.length, 0);
      await file.close();
      if (who === "a writer")
        await expect(store.run(group, [{ mutations: [put("c", 3)] }])).rejects.toBeInstanceOf(
          Error,
        );
      await expect.poll(() => store.failure?.message).toContain("overwritten with an older copy");
      await store.close();

      const again = await openStore(folder);
      await commit(again, group, put("c", 3));
      expect(await again.since(group, position, LIMITS)).toMatchObject({ lost: true });
      expect((await again.get(group, "c")).position.epoch).not.toBe(position.epoch);
    },
  );

  it("acknowledges no write that is only in an unlinked data file (G6)", async () => {
    const folder = await tempFolder();
    const store = await openStore(folder);
    await commit(store, group, put("a", 1));
    await rm(join(folder, DATA));
    await expect(store.run(group, [{ mutations: [put("b", 2)] }])).rejects.toMatchObject({
      reason: "OUTCOME_UNKNOWN",
    });
    expect(store.failure?.message).toContain(DATA);
    expect(await contents(store, group)).toEqual([["a", 1]]);
  });

  it("makes the service unhealthy while it still reads, and has everything after a restart (G6)", async () => {
    const folder = await tempFolder();
    const options = { port: 0, store: { kind: "file_based", folder } } as const;
    const server = await createServer(options);
    const key = { streamName: "s", groupId: "g", itemId: "i" };
    const { position } = await server.service.set({ ...key, data: 1 });
    await rm(join(folder, SOCKET));
    const status = async () => (await fetch(`${server.url}/healthz`)).status;
    await expect.poll(status, { timeout: 5000 }).toBe(503);
    expect(await server.service.get(key)).toMatchObject({ data: 1 });
    await server.close();
    const again = await createServer(options);
    expect(await again.service.get(key)).toMatchObject({ data: 1 });
    const next = await again.service.set({ ...key, data: 2 });
    expect(next.position).toEqual({ epoch: position.epoch, revision: 2 });
    await again.close();
  });

  it("does not touch files that replaced its own", async () => {
    const folder = join(await tempFolder(), "data");
    const first = await openLmdbStore({ folder, sweepIntervalMs: 0 });
    await commit(first, group, put("a", 1));
    const moved = `${folder}-moved`;
    await rename(folder, moved);
    await mkdir(folder);
    await cp(join(moved, DATA), join(folder, DATA));
    const second = await openStore(folder);
    const names = await readdir(folder);
    await expect.poll(() => first.failure).toBeDefined();
    await first.close();
    expect(await readdir(folder)).toEqual(names);
    expect((await stat(join(folder, SOCKET))).isSocket()).toBe(true);
    await commit(second, group, put("a", 2));
    expect(second.failure).toBeUndefined();
  });
});
