import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const isLong = process.env["MILLRACE_LONG"] === "1";

/** Folders whose tests leave nothing behind in their process. */
const SHARING = [
  "bench",
  "bridge",
  "checker",
  "core",
  "doors",
  "limits",
  "live",
  "rights",
  "rights",
  "rpc",
  "server/config",
  "service",
  "stores",
  "timers",
  "webhooks",
  "wire",
];
/**
 * Their tests, without those that need a process: the published client reconnects for ever, also
 * after its test, and the other one fakes timers that all of a process share.
 */
const SHARING_FILES = SHARING.map(
  (folder) => `test/${folder}/**/!(published-client*|body-deadlines).test.ts`,
);

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
    // Most tests wait rather than compute, and many start processes of their own.
    // At full length each needs the machine for itself.
    maxWorkers: isLong ? 1 : Math.max(3, Math.floor(availableParallelism() / 2)),
    projects: [
      {
        extends: true,
        // Files of one worker share its modules: loading them takes longer than most of these tests.
        test: {
          name: "sharing",
          include: SHARING_FILES,
          isolate: false,
        },
      },
      {
        extends: true,
        // Clients that reconnect may outlive their test, so each file has a process of its own.
        test: {
          name: "alone",
          include: ["test/**/*.test.ts"],
          exclude: SHARING_FILES,
        },
      },
    ],
  },
});
