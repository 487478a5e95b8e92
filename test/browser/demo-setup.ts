import type { Browser } from "playwright-core";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import { type TestContext, afterAll, beforeAll, onTestFinished } from "vitest";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { type DemoWindow, launch, openWindow } from "./windows.ts";

/** Includes the installation of a browser. */
const SETUP_TIMEOUT_MS = 300_000;

/** Opens windows that close after the test. Skips the test without a browser. */
export type OpenWindows = (
  context: TestContext,
  url: string,
  count: number,
) => Promise<[DemoWindow, DemoWindow]>;

/** Starts a browser for the tests of a file. */
export function demoWindows(): OpenWindows {
  let browser: Browser | undefined;
  let missing = "";

  beforeAll(async () => {
    await ensureBuilt(PROJECT);
    const found = await ensureChromium(PROJECT);
    if ("missing" in found) missing = found.missing;
    else browser = await launch(found.program);
  }, SETUP_TIMEOUT_MS);

  afterAll(async () => browser?.close());

  return async (context, url, count) => {
    if (browser === undefined) return context.skip(missing);
    const windows: DemoWindow[] = [];
    onTestFinished(async () => {
      await Promise.all(windows.map(async ({ page }) => page.context().close()));
    });
    for (let opened = 0; opened < count; opened++) windows.push(await openWindow(browser, url));
    return windows as [DemoWindow, DemoWindow];
  };
}

/** Starts a server that closes after the test. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const server = await createServer({ port: 0, store: { kind: "in_memory" }, ...options });
  onTestFinished(async () => server.close());
  return server;
}
