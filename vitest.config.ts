import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const isLong = process.env["MILLRACE_LONG"] === "1";

export default defineConfig({
  resolve: {
    alias: {
      "millrace/server": at("./src/server/index.ts"),
      "millrace/v1": at("./src/v1.ts"),
      "millrace/worker": at("./src/worker-sdk/index.ts"),
      millrace: at("./src/index.ts"),
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Many tests start processes of their own, so half of the cores is enough, but two files at least
    // run side by side: most of them wait rather than compute.
    // At full length each needs the machine for itself.
    maxWorkers: isLong ? 1 : Math.max(2, Math.floor(availableParallelism() / 2)),
  },
});
