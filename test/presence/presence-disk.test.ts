import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { presenceSuite } from "./suite/presence.suite.ts";

presenceSuite("on disk", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-presence-"));
  return {
    store: { kind: "file_based", folder },
    cleanUp: () => rm(folder, { recursive: true, force: true }),
  };
});
