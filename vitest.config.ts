import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./scripts/gate/longest-first.mjs";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const isLong = process.env["MILLRACE_LONG"] === "1";

/**
 * The files that need a process of their own: those of test/long, which leave much running when they
 * fail; the published client, which reconnects for ever, also after its test; and one that fakes the
 * timers of the whole process.
 */
const ALONE = [
  "test/long/*.test.ts",
  "test/**/published-client*.test.ts",
  "test/limits/body-deadlines.test.ts",
];

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
    // By default a second, which a busy machine may need for a single request.
    expect: { poll: { timeout: 10_000 } },
    // Many tests wait rather than compute, and many start processes of their own.
    // At full length each needs the machine for itself.
    maxWorkers: isLong ? 1 : Math.max(4, Math.floor(availableParallelism() / 2)),
    // Most objects of a test die young. In a larger nursery they are collected less often, which
    // takes a tenth less processor time.
    execArgv: ["--max-semi-space-size=64"],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: { name: "alone", include: ALONE },
      },
      {
        extends: true,
        // Files of one worker share its modules: loading them takes longer than most of these tests.
        test: {
          name: "sharing",
          include: ["test/**/*.test.ts"],
          exclude: ALONE,
          isolate: false,
        },
      },
    ],
  },
});
