import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { extname } from "node:path";
import type { Request, Response } from "./port/listener.ts";

/** A file that browsers get, whole and in memory. */
interface StaticFile {
  readonly body: Buffer;
  readonly type: string;
  /** Changes with the content. */
  readonly etag: string;
}

/** A path that is not written quite right. */
interface Moved {
  /** The right one, relative to the other: what is in front of the service may add a prefix. */
  readonly location: string;
}

/** Path of a request -> what is there. Nothing else of the disk can be reached. */
export type StaticPages = ReadonlyMap<string, StaticFile | Moved>;

/** Extension -> content type. A file of another kind is not served. */
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The folder is at the same place above the sources and above the build. */
const DEMO_FOLDER = new URL("../../web/demo/", import.meta.url);

/**
 * What a page may do: run its own scripts, and talk to the service that it came from. `ws:` and `wss:`
 * are written out because not every browser counts them as the page's own origin.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self' ws: wss:",
  "base-uri 'none'",
  "form-action 'none'",
  // In a frame of another page, clicks could be stolen.
  "frame-ancestors 'none'",
  // No text ever becomes markup or code.
  "require-trusted-types-for 'script'",
].join("; ");

/**
 * Reads the demo page, which is at `/demo`, its other files below.
 *
 * @throws Error with the system's code when the files are not there.
 */
export function loadDemoPage(): StaticPages {
  const pages = new Map<string, StaticFile | Moved>([["/demo/", { location: "../demo" }]]);
  for (const name of readdirSync(DEMO_FOLDER)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = readFileSync(new URL(name, DEMO_FOLDER));
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    pages.set(name === "index.html" ? "/demo" : `/demo/${name}`, { body, type, etag });
  }
  return pages;
}

/** Answers with a file, or that the browser has it already. */
export function answerStatic(file: StaticFile | Moved, request: Request, response: Response): void {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD", "content-length": "0" });
    response.end();
    return;
  }
  if ("location" in file) {
    response.writeHead(308, { location: file.location, "content-length": "0" });
    response.end();
    return;
  }
  const { body, type, etag } = file;
  const headers = {
    etag,
    // Kept, and asked for every time: after an update nobody runs half of the old page.
    "cache-control": "no-cache",
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  };
  const known = request.headers["if-none-match"]?.split(",").map((each) => each.trim());
  if (known?.some((each) => each.replace(/^W\//, "") === etag)) {
    response.writeHead(304, headers);
    response.end();
    return;
  }
  response.writeHead(200, {
    ...headers,
    "content-type": type,
    "content-length": String(body.length),
  });
  if (request.method === "HEAD") response.end();
  else response.end(body);
}
