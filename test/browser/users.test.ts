import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { StreamFrame } from "millrace";
import type { Browser, Page } from "playwright-core";
import { type TestContext, afterAll, beforeAll, describe, expect, it } from "vitest";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { sign } from "../support/rights/issuer.ts";
import { launch } from "./windows.ts";

/** Includes the installation of a browser. */
const SETUP_TIMEOUT_MS = 300_000;
const SECRET = "a secret of at least thirty-two bytes";
const SERVICE = "/millrace.v1.StreamService";
const ATTIC = { streamName: "rooms", groupId: "attic" };

/** Origins on this machine: only the first is one of the service's allowed_origins. */
let allowed: PageServer;
let foreign: PageServer;
let server: TestServer;
let authorization: string;
let browser: Browser | undefined;
let missing = "";

interface PageServer {
  readonly origin: string;
  close(): void;
}

/** Serves an empty page at every path. */
async function startPages(): Promise<PageServer> {
  const pages = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html>");
  });
  await once(pages.listen(0, "127.0.0.1"), "listening");
  return {
    origin: `http://127.0.0.1:${(pages.address() as AddressInfo).port}`,
    close() {
      pages.close();
      pages.closeAllConnections();
    },
  };
}

beforeAll(async () => {
  const found = await ensureChromium(PROJECT);
  if ("missing" in found) missing = found.missing;
  else browser = await launch(found.program);
  [allowed, foreign] = [await startPages(), await startPages()];
  server = await startServer("memory", {
    allowedOrigins: [allowed.origin],
    auth: {
      jwt: [{ algorithms: ["HS256"], secret: SECRET }],
      rules: [
        {
          actions: ["subscribe", "read", "write", "send"],
          stream: "rooms",
          group: "{claims.rooms}",
        },
      ],
    },
  });
  const claims = { rooms: ["attic"], exp: Math.floor(Date.now() / 1000) + 3600 };
  const key = new TextEncoder().encode(SECRET);
  authorization = `Bearer ${await sign(claims, { alg: "HS256" }, key)}`;
}, SETUP_TIMEOUT_MS);
afterAll(async () => {
  await browser?.close();
  await server.close();
  allowed.close();
  foreign.close();
});

/** What a page sees of a call: a status and a body, or the error of `fetch`. */
type Seen = { readonly status: number; readonly body: unknown } | { readonly error: string };

/** Calls from a page of an origin with `fetch` and JSON. */
type Call = (method: string, request: object, headers?: Record<string, string>) => Promise<Seen>;

/** Opens a page. Skips the test without a browser. */
async function openPage(
  context: TestContext,
  { origin }: PageServer,
): Promise<{ page: Page; call: Call }> {
  if (browser === undefined) return context.skip(missing);
  const page = await browser.newPage();
  context.onTestFinished(async () => page.close());
  await page.goto(origin);
  const call: Call = async (method, request, headers = { authorization }) =>
    page.evaluate<Seen, { url: string; init: { headers: Record<string, string>; body: string } }>(
      async ({ url, init }) => {
        try {
          const response = await fetch(url, { method: "POST", ...init });
          return { status: response.status, body: await response.json() };
        } catch (error) {
          return { error: String(error) };
        }
      },
      {
        url: `${server.url}${SERVICE}/${method}`,
        init: {
          headers: { "content-type": "application/json", ...headers },
          body: JSON.stringify(request),
        },
      },
    );
  return { page, call };
}

/** Follows the room in this process. @returns the frames after the first snapshot. */
async function followAttic(context: TestContext): Promise<AsyncIterator<StreamFrame>> {
  const frames = await server.service.subscribe(ATTIC);
  context.onTestFinished(async () => void (await frames.return?.()));
  const reading = frames[Symbol.asyncIterator]();
  await reading.next();
  return reading;
}

/** The room as it is stored. */
const stored = async (groupId = "attic") =>
  (await server.service.list({ streamName: "rooms", groupId })).items.map(({ itemId }) => itemId);

describe("a page with the token of a user, in Chromium", () => {
  it("writes and sends over Connect from an allowed origin", async (context) => {
    const { call } = await openPage(context, allowed);
    const frames = await followAttic(context);
    const set = await call("Set", { ...ATTIC, itemId: "m1", data: { text: "hello" } });
    expect(set).toMatchObject({
      status: 200,
      body: { newValue: { text: "hello" }, created: true },
    });
    expect((await frames.next()).value).toMatchObject({
      kind: "change",
      itemId: "m1",
      author: "user:ann",
    });
    const send = await call("Send", { ...ATTIC, type: "typing", data: { by: "ann" } });
    expect(send).toEqual({ status: 200, body: {} });
    expect((await frames.next()).value).toMatchObject({
      kind: "event",
      type: "typing",
      author: "user:ann",
    });
  });

  it("may do there what its rules allow, and nothing else", async (context) => {
    const { call } = await openPage(context, allowed);
    const write = { streamName: "rooms", groupId: "cellar", itemId: "m1", data: 1 };
    const denied = { status: 403, body: { code: "permission_denied" } };
    expect(await call("Set", write)).toMatchObject(denied);
    expect(await call("Send", { ...write, type: "typing" })).toMatchObject(denied);
    expect(await call("Set", { ...ATTIC, itemId: "none", data: 1 }, {})).toMatchObject(denied);
    const invented = { authorization: `${authorization}x` };
    expect(await call("Set", { ...ATTIC, itemId: "none", data: 1 }, invented)).toMatchObject({
      status: 401,
      body: { code: "unauthenticated" },
    });
    expect(await stored("cellar")).toEqual([]);
    expect(await stored()).not.toContain("none");
  });

  it("gets no call past the preflight from another origin", async (context) => {
    const { call } = await openPage(context, foreign);
    const frames = await followAttic(context);
    const failed = { error: "TypeError: Failed to fetch" };
    expect(await call("Set", { ...ATTIC, itemId: "foreign", data: 1 })).toEqual(failed);
    expect(await call("Send", { ...ATTIC, type: "foreign" })).toEqual(failed);
    expect(await call("List", ATTIC)).toEqual(failed);
    // Needs no preflight.
    const plain = { "content-type": "text/plain" };
    expect(await call("Set", { ...ATTIC, itemId: "foreign", data: 1 }, plain)).toEqual(failed);
    await expectNothing(frames);
  });

  it("is refused at the call, too, when its browser gets past the preflight", async (context) => {
    const { page, call } = await openPage(context, foreign);
    const frames = await followAttic(context);
    const network = await page.context().newCDPSession(page);
    /** Statuses of the calls with the token. */
    const statuses = new Map<string, number | undefined>();
    network.on("Network.requestWillBeSentExtraInfo", ({ requestId, headers }) => {
      const { Origin: origin, authorization: sent } = headers;
      if (origin === foreign.origin && sent === authorization) statuses.set(requestId, undefined);
    });
    network.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode }) => {
      if (statuses.has(requestId)) statuses.set(requestId, statusCode);
    });
    await network.send("Network.enable");
    // Makes the browser answer its preflights itself, as if the service had allowed the call.
    await page.route(`${server.url}/**`, (route) => route.continue());
    const requests = [
      ["Set", { ...ATTIC, itemId: "foreign", data: 1 }],
      ["Send", { ...ATTIC, type: "foreign" }],
      ["List", ATTIC],
    ] as const;
    for (const [method, request] of requests)
      expect(await call(method, request)).toEqual({ error: "TypeError: Failed to fetch" });
    await expect.poll(() => [...statuses.values()]).toEqual([403, 403, 403]);
    await expectNothing(frames);
  });
});

/** The next frame is that of a later write: what the page tried reached nobody and is not stored. */
async function expectNothing(frames: AsyncIterator<StreamFrame>) {
  await server.service.set({ ...ATTIC, itemId: "later", data: 1 });
  expect((await frames.next()).value).toMatchObject({ kind: "change", itemId: "later" });
  expect(await stored()).not.toContain("foreign");
}
