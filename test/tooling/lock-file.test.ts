import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { lockFileProblems } from "../../scripts/gate/lock-file.mjs";
import { PROJECT } from "./temp-project.ts";

const read = async (file: string) => readFile(join(PROJECT, file), "utf8");

async function project() {
  const [manifest, lock, npmrc] = await Promise.all([
    read("package.json"),
    read("package-lock.json"),
    read(".npmrc"),
  ]);
  return { manifest, lock, npmrc };
}

interface Lock {
  packages: Record<string, Record<string, unknown>>;
}

describe("the lock file check", () => {
  it("passes for the project as it is", async () => {
    expect(lockFileProblems(await project())).toEqual([]);
  });

  it("refuses a registry address, naming the package", async () => {
    const texts = await project();
    const lock = JSON.parse(texts.lock) as Lock;
    const entry = lock.packages["node_modules/lmdb"];
    expect(entry).toBeDefined();
    if (entry !== undefined) entry["resolved"] = "https://registry.example/lmdb.tgz";
    const problems = lockFileProblems({ ...texts, lock: JSON.stringify(lock) });
    expect(problems).toEqual([
      'package-lock.json: node_modules/lmdb has a "resolved" address (https://registry.example/lmdb.tgz); remove it.',
    ]);
  });

  it("refuses a package without a checksum", async () => {
    const texts = await project();
    const lock = JSON.parse(texts.lock) as Lock;
    delete lock.packages["node_modules/lmdb"]?.["integrity"];
    const problems = lockFileProblems({ ...texts, lock: JSON.stringify(lock) });
    expect(problems).toEqual(['package-lock.json: node_modules/lmdb has no "integrity".']);
  });

  it("refuses a lock file without the packages of other platforms", async () => {
    const texts = await project();
    const lock = JSON.parse(texts.lock) as Lock;
    delete lock.packages["node_modules/@lmdb/lmdb-darwin-arm64"];
    const problems = lockFileProblems({ ...texts, lock: JSON.stringify(lock) });
    expect(problems).toEqual([
      "package-lock.json: @lmdb/lmdb-darwin-arm64, which node_modules/lmdb has for another platform, is missing; run npm run lock:complete.",
    ]);
  });

  it.each(["^4.1.12", "~4.1.12", "4.x", "latest", "*", "git+https://example.com/a.git"])(
    'refuses the version "%s", and that the lock file differs',
    async (version) => {
      const texts = await project();
      const manifest = JSON.parse(texts.manifest) as { devDependencies: Record<string, string> };
      manifest.devDependencies["vitest"] = version;
      const problems = lockFileProblems({ ...texts, manifest: JSON.stringify(manifest) });
      expect(problems).toEqual([
        `package.json: devDependencies.vitest is "${version}"; pin an exact version.`,
        "package-lock.json: its devDependencies are not those of package.json; run npm install.",
      ]);
    },
  );

  it("refuses an .npmrc without the settings for such a lock file", async () => {
    const problems = lockFileProblems({ ...(await project()), npmrc: "save-exact = true\n" });
    expect(problems).toEqual([".npmrc: omit-lockfile-registry-resolved=true is missing."]);
  });
});
