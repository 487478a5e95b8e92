import { once } from "node:events";
import { readFile, readdir } from "node:fs/promises";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { connect } from "node:http2";
import { join } from "node:path";
import { type Server, createServer } from "millrace/server";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { PROJECT } from "../../scripts/lib/project.mjs";

const FOLDER = join(PROJECT, "web", "demo");

let server: Server;
beforeAll(async () => {
  server = await createServer({ port: 0, store: { kind: "in_memory" } });
});
afterAll(async () => server.close());

/** Requests a path exactly as given; fetch would normalize it. */
async function statusOf(path: string): Promise<number | undefined> {
  const call = httpRequest({ port: server.port, host: "127.0.0.1", path });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response.statusCode;
}

describe("GET /demo", () => {
  it.each([
    ["/demo", "index.html", "text/html; charset=utf-8"],
    ["/demo/demo.css", "demo.css", "text/css; charset=utf-8"],
    ["/demo/demo.js", "demo.js", "text/javascript; charset=utf-8"],
    ["/demo/icon.svg", "icon.svg", "image/svg+xml"],
  ])("serves the file at %s under a strict security policy", async (path, name, type) => {
    const response = await fetch(server.url + path);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": type,
      "cache-control": "no-cache",
      "content-security-policy": expect.stringContaining("default-src 'none'; script-src 'self'"),
      "x-content-type-options": "nosniff",
    });
    expect(await response.text()).toBe(await readFile(join(FOLDER, name), "utf8"));
  });

  it("serves every file that the page links or imports, all from the service", async () => {
    const html = await (await fetch(`${server.url}/demo`)).text();
    const linked = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => `/${path}`);
    const names = (await readdir(FOLDER)).filter((name) => name.endsWith(".js"));
    const texts = await Promise.all(
      names.map(async (name) => readFile(join(FOLDER, name), "utf8")),
    );
    const imported = texts
      .flatMap((text) => [...text.matchAll(/from "([^"]+)"/g)])
      .map(([, path = ""]) => path.replace(/^\.\//, "/demo/"));
    const paths = new Set([...linked, ...imported]);
    expect(paths.size).toBeGreaterThan(10);
    for (const path of paths) expect([path, await statusOf(path)]).toEqual([path, 200]);
  });

  it("is cached by browsers, and revalidated each time", async () => {
    const etag = (await fetch(`${server.url}/demo`)).headers.get("etag") ?? "";
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const response = await fetch(`${server.url}/demo`, { headers: { "if-none-match": known } });
      expect([response.status, await response.text()]).toEqual([304, ""]);
    }
    const headers = { "if-none-match": '"other"' };
    expect((await fetch(`${server.url}/demo`, { headers })).status).toBe(200);
  });

  it("responds to HEAD without a body, and to other methods with the allowed ones", async () => {
    const head = await fetch(`${server.url}/demo`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect(Number(head.headers.get("content-length"))).toBeGreaterThan(1000);
    const post = await fetch(`${server.url}/demo`, { method: "POST", body: "x" });
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  it("redirects from /demo/ with a relative URL, which works behind a path prefix", async () => {
    const response = await fetch(`${server.url}/demo/`, { redirect: "manual" });
    expect([response.status, response.headers.get("location")]).toEqual([308, "../demo"]);
  });

  it.each([
    "/demo/../package.json",
    "/demo/..%2f..%2fpackage.json",
    "/demo/%2e%2e/%2e%2e/package.json",
    "/demo/..\\..\\package.json",
    "/demo//demo.js",
    "/demo/demo.js/",
    "/demo/demo.js%00",
    "/demo/index.html",
    "/demo/constructor",
    "/demo/nothing.js",
    "/web/demo/demo.js",
  ])("responds with 404 at %s", async (path) => {
    expect(await statusOf(path)).toBe(404);
  });

  it("is served over HTTP/2 too", async () => {
    const session = connect(server.url);
    onTestFinished(() => session.destroy());
    const stream = session.request({ ":path": "/demo" });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    expect(headers[":status"]).toBe(200);
    let text = "";
    for await (const chunk of stream.setEncoding("utf8")) text += chunk as string;
    expect(text).toContain("<title>Millrace demo</title>");
  });
});
