import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { describeStore } from "../suite/store.suite.ts";

describeStore("lmdb", async (request) => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-store-"));
  const store = await openLmdbStore({ ...request, folder, sweepIntervalMs: 0 });
  return {
    store,
    sweep: () => store.sweep(),
    async dispose() {
      await store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
});
