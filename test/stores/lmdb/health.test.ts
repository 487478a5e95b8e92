import { expect, it } from "vitest";
import { createServer } from "millrace/server";
import { createLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { openGatedDisk } from "./gated-disk.ts";
import { tempFolders } from "./temp-folder.ts";

const tempFolder = tempFolders();

it("a service whose disk failed reports NOT_SERVING, and still reads (G6)", async () => {
  const disk = await openGatedDisk(await tempFolder());
  const server = await createServer({ port: 0, store: createLmdbStore(disk, {}) });
  const status = async () => (await fetch(`${server.url}/healthz`)).status;
  const key = { streamName: "s", groupId: "g", itemId: "i" };
  await server.service.set({ ...key, data: 1 });
  expect(await status()).toBe(200);
  disk.breakDown("fail");
  await expect(server.service.set({ ...key, data: 2 })).rejects.toMatchObject({
    reason: "OUTCOME_UNKNOWN",
  });
  await expect.poll(status, { timeout: 5000 }).toBe(503);
  expect(await server.service.get(key)).toMatchObject({ data: 1 });
  await server.close();
});
