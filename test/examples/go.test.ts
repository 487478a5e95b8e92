import { cp, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, it } from "vitest";
import { withLock } from "../../scripts/lib/lock.mjs";
import { PROJECT } from "../docs/markdown.ts";
import { run } from "../docs/processes.ts";
import { tryOut } from "../support/examples/try-out.ts";

const CACHE = join(PROJECT, ".cache", "go");
/** A copy of what the module needs: others read the project while stubs are generated here. */
const TREE = join(CACHE, "tree");
const MODULE = join(TREE, "examples", "go");

it("the programs of examples/go work, come back and leave", async (context) => {
  await withLock(
    join(PROJECT, ".cache", "go-lock"),
    () => {},
    () => build(context),
  );
  await tryOut({
    prefix: "go",
    crash: "panic",
    command: (program, address) => `'${CACHE}/${program}' ${address}`,
  });
  // The first time, modules are downloaded and compiled, with Go's own library.
}, 240_000);

/** Builds the programs. Where Go or its modules cannot be had, the test is skipped and says so. */
async function build(context: TestContext): Promise<void> {
  await rm(TREE, { recursive: true, force: true });
  for (const path of ["buf.yaml", "proto", "third_party", "examples/go"])
    await cp(join(PROJECT, path), join(TREE, path), { recursive: true });
  await symlink(join(PROJECT, "node_modules"), join(TREE, "node_modules"));
  const go = await run("go version", MODULE);
  if (go.status !== 0) context.skip("go is not installed here");
  const modules = await run("go mod download", MODULE);
  if (modules.status !== 0)
    context.skip(`go cannot get its modules here: ${modules.stderr.trim().split("\n").at(-1)}`);
  await succeeds("./generate.sh");
  await succeeds(`go build -buildvcs=false -o '${CACHE}/' ./worker ./subscriber`);
}

async function succeeds(code: string): Promise<void> {
  const { status, stdout, stderr } = await run(code, MODULE);
  if (status !== 0) throw new Error(`${code} ended with ${status}:\n${stdout}${stderr}`);
}
