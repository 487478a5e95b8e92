import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Browser, Page } from "playwright-core";
import { type TestContext, afterAll, beforeAll, expect, onTestFinished } from "vitest";
import { QUESTIONS, answerTo } from "../../examples/ai-text/model.mjs";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { type ChildServer, freePort, startChild } from "../support/long/child-server.ts";
import { launch } from "./windows.ts";

/** Includes the installation of a browser. */
const SETUP_TIMEOUT_MS = 300_000;
const TIMEOUT_MS = 30_000;
/** Longest time of a test. They wait for most of their time. */
export const TEST_TIMEOUT_MS = 120_000;
const QUESTION = QUESTIONS[1] ?? "";
export const ANSWER = answerTo(QUESTION);

/** Opens windows with the page. Skips the test without a browser. */
type OpenPage = (context: TestContext, url: string) => ReturnType<typeof openIn>;

/** Starts a browser for the tests of a file. */
export function answerPages(): OpenPage {
  let browser: Browser | undefined;
  let missing = "";

  beforeAll(async () => {
    await ensureBuilt(PROJECT);
    const found = await ensureChromium(PROJECT);
    if ("missing" in found) missing = found.missing;
    else browser = await launch(found.program);
  }, SETUP_TIMEOUT_MS);
  afterAll(async () => browser?.close());

  return async (context, url) =>
    browser === undefined ? context.skip(missing) : openIn(browser, url);
}

/** The service, which stores on disk and keeps its port when it is started again. */
export async function startService() {
  const folder = await mkdtemp(join(tmpdir(), "millrace-ai-text-"));
  const options = { port: await freePort(), store: { kind: "file_based", folder } } as const;
  let child: ChildServer | undefined = await startChild(options);
  onTestFinished(async () => {
    await child?.kill();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    url: child.url,
    async kill() {
      await child?.kill();
      child = undefined;
    },
    async restart() {
      child = await startChild(options);
    },
  };
}

/** The example, whose model says a piece of a few letters every `paceMs`. */
export async function startExample(service: string, paceMs: number) {
  const port = await freePort();
  let child: ChildProcess | undefined;
  const kill = async () => {
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  const start = async () => {
    const flags = ["--port", String(port), "--service", service, "--pace", String(paceMs)];
    child = spawn(process.execPath, ["examples/ai-text/server.mjs", ...flags], {
      cwd: PROJECT,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface(child.stdout as NonNullable<typeof child.stdout>);
    expect(await once(lines, "line")).toEqual([`Open http://127.0.0.1:${port}`]);
  };
  await start();
  onTestFinished(kill);
  return { url: `http://127.0.0.1:${port}`, kill, restart: start };
}

/** What a load of the page has shown of the answer. */
interface Shown {
  /** The first text that was not empty. */
  readonly first: string | undefined;
  /** Texts that are no beginning of the answer, or shorter than one before. */
  readonly wrong: readonly string[];
}

/** Runs in the page before its own scripts, and observes every text that is shown. */
const WATCH = `
  window.shown = { first: undefined, wrong: [] };
  let longest = "";
  new MutationObserver(() => {
    const text = document.querySelector(".answer")?.textContent ?? "";
    if (text !== "") shown.first ??= text;
    if (!ANSWER.startsWith(text) || !text.startsWith(longest)) shown.wrong.push(text);
    else longest = text;
  }).observe(document, { subtree: true, childList: true, characterData: true });
`;

async function openIn(browser: Browser, url: string) {
  const window = await browser.newContext({ viewport: { width: 1000, height: 800 } });
  onTestFinished(() => window.close());
  window.setDefaultTimeout(TIMEOUT_MS);
  const page = await window.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  /** Frames of each socket that the page has opened. */
  const sockets: string[][] = [];
  page.on("websocket", (socket) => {
    const frames: string[] = [];
    sockets.push(frames);
    socket.on("framereceived", ({ payload }) => void frames.push(payload.toString()));
  });
  await page.addInitScript(`const ANSWER = ${JSON.stringify(ANSWER)}; ${WATCH}`);
  await page.goto(url);
  await untilLive(page);
  return {
    page,
    problems,
    sockets,
    ask: async () => page.getByRole("button", { name: QUESTION }).click(),
    text: async () => textOf(page),
    shown: async () => page.evaluate<Shown>("shown"),
    /** Waits until at least a part of the answer is shown. */
    async untilPart(part: number) {
      await expect
        .poll(async () => (await textOf(page)).length, { timeout: TIMEOUT_MS, interval: 20 })
        .toBeGreaterThanOrEqual(part * ANSWER.length);
      expect(await page.locator('[data-done="false"]').count()).toBe(1);
    },
    async untilDone() {
      await page.locator('[data-done="true"]').waitFor();
      return textOf(page);
    },
  };
}

export const untilLive = async (page: Page) =>
  page.locator('#status[data-status="live"]').waitFor();
export const untilAway = async (page: Page) =>
  page.locator('#status[data-status="away"]').waitFor();

async function textOf(page: Page): Promise<string> {
  const answer = page.locator(".answer");
  return (await answer.count()) === 0 ? "" : ((await answer.textContent()) ?? "");
}

/** Frames with the whole text of an answer instead of a part. */
export function wholeTexts(frames: readonly string[]): readonly string[] {
  return frames.filter((frame) => {
    const { event } = JSON.parse(frame) as { event: { type: string; ops?: unknown } };
    return event.type === "sync" || (event.type === "update" && event.ops === undefined);
  });
}
