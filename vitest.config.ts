import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const isLong = process.env["MILLRACE_LONG"] === "1";

/** Folders whose tests use no network and leave nothing behind in their process. */
const MODULES = ["checker", "core", "limits", "live", "server/config", "service", "timers", "wire"];

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
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Many tests start processes of their own, so half of the cores is enough, but two files at least
    // run side by side: most of them wait rather than compute.
    // At full length each needs the machine for itself.
    maxWorkers: isLong ? 1 : Math.max(2, Math.floor(availableParallelism() / 2)),
    projects: [
      {
        extends: true,
        // Files of one worker share its modules: loading them takes longer than most of these tests.
        test: {
          name: "modules",
          include: MODULES.map((folder) => `test/${folder}/**/*.test.ts`),
          isolate: false,
        },
      },
      {
        extends: true,
        // Clients that reconnect may outlive their test, so each file has a process of its own.
        test: {
          name: "processes",
          include: ["test/**/*.test.ts"],
          exclude: MODULES.map((folder) => `test/${folder}/**`),
        },
      },
    ],
  },
});
