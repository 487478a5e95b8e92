import { type Browser, type Page, chromium } from "playwright-core";
import { expect } from "vitest";
import type { Position } from "../../web/demo/group-follower.js";

/** The statistics that the page exposes. */
export interface PageStats {
  readonly status: string;
  readonly opened: number;
  readonly syncs: number;
  readonly resumes: number;
  readonly changes: number;
  readonly repeats: number;
  readonly holes: number;
  readonly silences: number;
}

/** The smallest number of elements of each list since its first element appeared. */
interface Watched {
  readonly figures: number;
  readonly people: number;
  /** Whether the page ever said that there are no figures. */
  readonly saidEmpty: boolean;
}

/** Where a page is. */
interface Progress {
  readonly stats: PageStats;
  readonly positions: Readonly<Record<string, Position>>;
  /** Numbers of received changes. */
  readonly changes: Readonly<Record<string, number>>;
}

/** One window of the demo page. */
export interface DemoWindow {
  readonly page: Page;
  /** Its id among the people. */
  readonly id: string;
  /** Reloads the page, and waits until its script runs. */
  reload(): Promise<void>;
  stats(): Promise<PageStats>;
  /** Stats and positions at one moment. */
  progress(): Promise<Progress>;
  /** Waits until a JavaScript expression is true in the page. */
  until(expression: string): Promise<void>;
  untilLive(): Promise<void>;
  /** Resets what `watched` reports. */
  resetWatch(): Promise<void>;
  watched(): Promise<Watched>;
  /** Ids of all people that the page has shown since it loaded, however briefly. */
  everShown(): Promise<string[]>;
  /** Errors in the page, except failed connections. */
  readonly problems: readonly string[];
}

/** Longest wait for anything in a page, in milliseconds. */
const TIMEOUT_MS = 15_000;

/** Keeps Chromium from contacting anything but the page's own service. */
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--disable-background-networking",
  "--disable-component-update",
  "--no-first-run",
];

/** Runs in the page before its own scripts, and observes every change, however brief. */
const WATCH = `
  window.watched = { figures: 0, people: 0, saidEmpty: false };
  window.fewest = { figures: Infinity, people: Infinity };
  window.everShown = new Set();
  new MutationObserver(() => {
    for (const id of ["figures", "people"]) {
      const count = document.getElementById(id)?.childElementCount ?? 0;
      if (count > 0 || watched[id] > 0) fewest[id] = Math.min(fewest[id], count);
      watched[id] = Math.max(watched[id], count);
    }
    for (const { dataset } of document.querySelectorAll("#people [data-person]"))
      everShown.add(dataset.person);
    if (document.getElementById("no-figures")?.hidden === false) watched.saidEmpty = true;
  }).observe(document, { subtree: true, childList: true, attributes: true });
`;

/** Starts Chromium headless. */
export async function launch(program: string): Promise<Browser> {
  return chromium.launch({ executablePath: program, args: ARGS, timeout: 60_000 });
}

/** Opens the demo page in an isolated window, and waits until it is live. */
export async function openWindow(browser: Browser, url: string): Promise<DemoWindow> {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 } });
  context.setDefaultTimeout(TIMEOUT_MS);
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    const isConnection = /net::ERR_|WebSocket connection to/.test(message.text());
    if (message.type() === "error" && !isConnection) problems.push(message.text());
  });
  await page.addInitScript(WATCH);
  await page.goto(`${url}/demo`);
  // Polls from outside: the page's security policy forbids evaluating text inside it.
  const until = async (expression: string) => {
    await expect
      .poll(async () => page.evaluate(expression), {
        timeout: TIMEOUT_MS,
        interval: 50,
        message: expression,
      })
      .toBe(true);
  };
  const untilLive = async () => until('window.millraceDemo?.stats.status === "live"');
  await untilLive();
  return {
    page,
    id: await page.evaluate<string>("millraceDemo.self"),
    async reload() {
      await page.reload();
      await until("window.millraceDemo !== undefined");
    },
    stats: async () => page.evaluate<PageStats>("millraceDemo.stats"),
    progress: async () =>
      page.evaluate<Progress>(
        "(({ stats, positions, changes }) => ({ stats, positions, changes }))(millraceDemo)",
      ),
    until,
    untilLive,
    everShown: async () => page.evaluate<string[]>("Array.from(everShown)"),
    resetWatch: async () =>
      page.evaluate(
        "fewest = { figures: Infinity, people: Infinity }, watched.saidEmpty = false, undefined",
      ),
    watched: async () => page.evaluate<Watched>("({ ...fewest, saidEmpty: watched.saidEmpty })"),
    problems,
  };
}

/** Fails when there were errors in a window. */
export function expectNoProblems(windows: readonly DemoWindow[]): void {
  expect(windows.flatMap(({ problems }) => problems)).toEqual([]);
}
