import { describeWhere } from "../../support/describe-where.ts";
import { execFile } from "node:child_process";
import { access, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, expect, it } from "vitest";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { commit, contents, groupOf, put } from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

const run = promisify(execFile);
const PROJECT = fileURLToPath(new URL("../../../", import.meta.url));
const HERE = fileURLToPath(new URL("./", import.meta.url));

/** Why the test cannot run here; undefined when it can. */
async function obstacle(): Promise<string | undefined> {
  if (process.platform !== "linux") return "LD_PRELOAD needs Linux";
  try {
    await run("cc", ["--version"]);
    return undefined;
  } catch {
    return "there is no C compiler (cc)";
  }
}

const reason = await obstacle();

describeWhere(reason, "an lmdb store on a disk whose flushes fail", () => {
  const tempFolder = tempFolders();
  let build = "";
  beforeAll(async () => {
    build = await mkdtemp(join(tmpdir(), "millrace-failing-sync-"));
    await symlink(join(PROJECT, "node_modules"), join(build, "node_modules"));
    const config = {
      extends: join(PROJECT, "tsconfig.build.json"),
      compilerOptions: {
        rootDir: PROJECT,
        outDir: join(build, "out"),
        declaration: false,
        sourceMap: false,
      },
      files: [join(PROJECT, "src/stores/lmdb/lmdb-store.ts")],
      include: [],
    };
    await writeFile(join(build, "tsconfig.json"), JSON.stringify(config));
    await writeFile(join(build, "package.json"), JSON.stringify({ type: "module" }));
    await Promise.all([
      run("cc", [
        "-shared",
        "-fPIC",
        "-o",
        join(build, "failing-sync.so"),
        join(HERE, "failing-sync.c"),
        "-ldl",
      ]),
      run(process.execPath, [
        join(PROJECT, "node_modules/typescript/bin/tsc"),
        "-p",
        join(build, "tsconfig.json"),
      ]),
    ]);
    return () => rm(build, { recursive: true, force: true });
  });

  it.each([
    ["the flush of pages", "MILLRACE_TEST_FAIL"],
    ["the write of metadata", "MILLRACE_TEST_FAIL_META"],
  ])(
    "acknowledges nothing that is not durable, and stops writes: %s fails (G6)",
    async (_, variable) => {
      const folder = await tempFolder();
      const trigger = join(folder, "broken");
      const { stdout } = await run(
        process.execPath,
        [join(HERE, "failing-sync-writer.mjs"), join(build, "out"), folder, trigger],
        {
          env: { ...process.env, LD_PRELOAD: join(build, "failing-sync.so"), [variable]: trigger },
        },
      );
      expect(JSON.parse(stdout)).toEqual({
        before: "done",
        during: ["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"],
        after: "STORE_UNAVAILABLE",
        read: '"durable"',
        listed: 1,
        heard: ['"durable"'],
      });
      // After a restart, acknowledged writes are there, and writing works again.
      await access(trigger);
      const store = await openLmdbStore({ folder });
      expect(await contents(store, groupOf("room"))).toEqual([["a", "durable"]]);
      await commit(store, groupOf("room"), put("a", "again"));
      await store.close();
    },
  );
});
