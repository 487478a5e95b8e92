import { cp, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, it } from "vitest";
import { withLock } from "../../scripts/lib/lock.mjs";
import { PROJECT } from "../docs/markdown.ts";
import { run } from "../docs/processes.ts";
import { tryOut } from "../support/examples/try-out.ts";

const CACHE = join(PROJECT, ".cache", "go");
/** A copy of the module's inputs: other tests read the project while stubs are generated here. */
const TREE = join(CACHE, "tree");
const MODULE = join(TREE, "examples", "go");

it("the programs of examples/go work, reconnect and shut down", async (context) => {
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
  // The first run downloads and compiles the modules and Go's standard library.
}, 240_000);

/** Builds the programs. Skips the test with a reason when Go or its modules are missing. */
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
