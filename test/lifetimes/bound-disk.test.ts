import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { boundSuite } from "./suite/bound.suite.ts";

boundSuite("on disk", true, async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bound-"));
  return {
    store: { kind: "file_based", folder },
    cleanUp: () => rm(folder, { recursive: true, force: true }),
  };
});
