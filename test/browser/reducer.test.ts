import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join, normalize } from "node:path";
import fc from "fast-check";
import { type TestContext, beforeAll, describe, expect, it } from "vitest";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { opsText } from "../../src/core/op-text.ts";
import { reduce } from "../../src/core/reduce.ts";
import { Value } from "../../src/core/value.ts";
import { json, op } from "../core/arbitrary-updates.ts";
import { launch } from "./windows.ts";

/** Includes the installation of a browser. */
const SETUP_TIMEOUT_MS = 300_000;
const CASES = 3000;
/** What `millrace/ops` is in the package. */
const ENTRY = "ops.js";
const BUILT = join(PROJECT, "dist", "src");

beforeAll(() => ensureBuilt(PROJECT), SETUP_TIMEOUT_MS);

/** The module and all that it imports: paths in the folder of the build, with their imports. */
async function modulesOf(
  path: string,
  found = new Map<string, readonly string[]>(),
): Promise<ReadonlyMap<string, readonly string[]>> {
  if (found.has(path)) return found;
  const text = await readFile(join(BUILT, path), "utf8");
  const imports = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']/g);
  const names = Array.from(imports, ([, name = ""]) => name);
  found.set(path, names);
  for (const name of names)
    if (name.startsWith(".")) await modulesOf(normalize(join(dirname(path), name)), found);
  return found;
}

/** Loads the module, and compares what it gives for many updates with what the service gives. */
const PAGE = `<!doctype html>
<link rel="icon" href="data:," />
<script type="module">
  import { applyOps } from "/${ENTRY}";
  window.differing = (cases) =>
    cases.filter(({ before, steps, after }) => JSON.stringify(applyOps(before, steps)) !== after);
</script>`;

/** Serves the page at `/`, and the files of the build. */
async function startPage({ onTestFinished }: TestContext): Promise<string> {
  const server = createServer((request, response) => {
    const path = normalize(request.url ?? "/");
    const isPage = path === "/";
    response.setHeader("content-type", isPage ? "text/html" : "text/javascript");
    const file = isPage ? Promise.resolve(PAGE) : readFile(join(BUILT, path), "utf8");
    file.then(
      (text) => response.end(text),
      () => response.writeHead(404).end(),
    );
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("the reducer of updates for clients", () => {
  it("imports nothing but a few modules of the core, and nothing of Node", async () => {
    const modules = await modulesOf(ENTRY);
    expect(modules.size).toBeGreaterThan(3);
    expect(modules.size).toBeLessThan(15);
    expect([...modules.values()].flat().filter((name) => !name.startsWith("."))).toEqual([]);
    const others = [...modules.keys()].filter((path) => !path.startsWith("core/"));
    expect(others).toEqual([ENTRY]);
  });

  it("runs unchanged in Chromium, and gives there what the service gives", async (context) => {
    const chromium = await ensureChromium(PROJECT);
    if ("missing" in chromium) return context.skip(chromium.missing);
    const browser = await launch(chromium.program);
    context.onTestFinished(() => browser.close());
    const page = await browser.newPage();
    await page.goto(await startPage(context));
    const updates = fc.sample(fc.tuple(json, fc.array(op, { maxLength: 6 })), CASES);
    const cases = updates.map(([before, ops]) => {
      const { value, effective } = reduce(Value.of(before), ops);
      return { before, steps: JSON.parse(opsText(effective)) as unknown[], after: value.text };
    });
    const differing: unknown = await page.evaluate(`differing(${JSON.stringify(cases)})`);
    expect(differing).toEqual([]);
    expect(cases.filter(({ steps }) => steps.length > 1).length).toBeGreaterThan(CASES / 10);
  });
});
