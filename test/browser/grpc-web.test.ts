import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Browser, Page } from "playwright-core";
import {
  type TestContext,
  afterAll,
  beforeAll,
  describe,
  expect,
  it,
  onTestFinished,
} from "vitest";
import {
  GetRequestSchema,
  GetResponseSchema,
  SubscribeRequestSchema,
  SubscribeResponseSchema,
} from "millrace/v1";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { optionalJson } from "../support/doors/rpc-messages.ts";
import { pathOf } from "../support/doors/raw-protocol.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { launch } from "./windows.ts";

/** Includes the installation of a browser. */
const SETUP_TIMEOUT_MS = 300_000;
/** The published gRPC-Web client, as a module. */
const CLIENT = new URL(import.meta.resolve("grpc-web")).pathname.replace(
  /index\.js$/,
  "index.esm.js",
);
const GROUP = { streamName: "s", groupId: "g" };

let browser: Browser | undefined;
let missing = "";
let server: TestServer;

beforeAll(async () => {
  const found = await ensureChromium(PROJECT);
  if ("missing" in found) missing = found.missing;
  else browser = await launch(found.program);
  server = await startServer();
}, SETUP_TIMEOUT_MS);
afterAll(async () => {
  await browser?.close();
  await server.close();
});

/**
 * The script of the page: makes calls with messages as bytes, in base64 like the client's default.
 * `window.calls` holds what each call receives.
 */
const PAGE = `
  import { GrpcWebClientBase, MethodDescriptor } from "/grpc-web.js";
  window.calls = {};
  window.call = (name, type, url, request) => {
    const call = (window.calls[name] = { messages: [], error: undefined });
    const take = (bytes) => bytes;
    const method = new MethodDescriptor(new URL(url).pathname, type, Array, Array, take, take);
    const client = new GrpcWebClientBase({ format: "text" });
    const bytes = Uint8Array.from(request);
    const fail = ({ code, message }) => (call.error = { code, message });
    const push = (message) => call.messages.push(Array.from(message));
    if (type === "unary")
      client.rpcCall(url, bytes, {}, method, (error, message) => error ? fail(error) : push(message));
    else client.serverStreaming(url, bytes, {}, method).on("data", push).on("error", fail);
  };
`;

const FILES: Readonly<Record<string, { readonly contentType: string; readonly body: string }>> = {
  "/page": {
    contentType: "text/html",
    body: `<!doctype html><script type="module">${PAGE}</script>`,
  },
  "/grpc-web.js": { contentType: "text/javascript", body: readFileSync(CLIENT, "utf8") },
};

/** Serves the page from a separate origin. @returns the origin. */
async function startPages(): Promise<string> {
  const pages = createServer((request, response) => {
    const { contentType, body } = FILES[request.url ?? ""] ?? {
      contentType: "text/plain",
      body: "",
    };
    response.writeHead(200, { "content-type": contentType }).end(body);
  });
  onTestFinished(() => {
    pages.close();
    pages.closeAllConnections();
  });
  await once(pages.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
}

interface Call {
  readonly messages: readonly number[][];
  readonly error: { readonly code: number; readonly message: string } | undefined;
}

/** Opens the page at an origin. Skips the test without a browser. */
async function openPage(context: TestContext, origin: string): Promise<Page> {
  if (browser === undefined) return context.skip(missing);
  const page = await browser.newPage();
  context.onTestFinished(async () => page.close());
  // Adds these files to the origin of the service, which does not serve them.
  for (const [path, file] of Object.entries(FILES))
    await page.route(`${server.url}${path}`, (route) => route.fulfill(file));
  await page.goto(`${origin}/page`);
  await page.waitForFunction("window.call !== undefined");
  return page;
}

async function call(
  page: Page,
  type: "unary" | "server_streaming",
  name: string,
  request: Uint8Array,
) {
  const url = `${server.url}${pathOf(name)}`;
  const args = [name, type, url, Array.from(request)].map((arg) => JSON.stringify(arg)).join(",");
  await page.evaluate(`window.call(${args})`);
  return () => page.evaluate<Call>(`window.calls[${JSON.stringify(name)}]`);
}

describe("the client grpc-web in a browser, over application/grpc-web-text", () => {
  it("receives the response of a unary call, and the error of a refused one", async (context) => {
    await server.service.set({ ...GROUP, itemId: "i", data: "there" });
    const page = await openPage(context, server.url);
    const request = create(GetRequestSchema, { ...GROUP, itemId: "i" });
    const get = await call(page, "unary", "get", toBinary(GetRequestSchema, request));
    await expect.poll(async () => (await get()).messages).toHaveLength(1);
    const [bytes = []] = (await get()).messages;
    const { item } = fromBinary(GetResponseSchema, Uint8Array.from(bytes));
    expect(optionalJson(item?.data)).toBe("there");
    const refused = await call(page, "unary", "get", new Uint8Array());
    await expect.poll(refused).toMatchObject({ messages: [], error: { code: 3 } });
  });

  it.for([
    ["of the service's own origin", async () => server.url],
    ["of another allowed origin", startPages],
  ] as const)("receives changes over an open stream, in a page %s", async ([, origin], context) => {
    const page = await openPage(context, await origin());
    const request = create(SubscribeRequestSchema, { ...GROUP });
    const bytes = toBinary(SubscribeRequestSchema, request);
    const subscribe = await call(page, "server_streaming", "subscribe", bytes);
    const frames = async () => {
      const { messages, error } = await subscribe();
      if (error !== undefined) throw new Error(error.message);
      return messages.map(
        (message) => fromBinary(SubscribeResponseSchema, Uint8Array.from(message)).frame,
      );
    };
    const changes = async () =>
      (await frames()).flatMap(({ case: kind, value }) =>
        kind === "change" ? [optionalJson(value.data)] : [],
      );
    await expect.poll(async () => (await frames())[0]?.case).toBe("sync");
    await server.service.set({ ...GROUP, itemId: "i", data: "first" });
    await expect.poll(changes).toEqual(["first"]);
    await server.service.set({ ...GROUP, itemId: "i", data: "second" });
    await expect.poll(changes).toEqual(["first", "second"]);
  });
});
