import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { extname } from "node:path";
import type { Request, Response } from "./port/listener.ts";

/** A file for browsers, held in memory. */
interface StaticFile {
  readonly body: Buffer;
  readonly type: string;
  /** Changes with the content. */
  readonly etag: string;
}

/** A redirect from another spelling of a path. */
interface Redirect {
  /** The right path, relative to the requested one: a proxy may have a prefix for the service. */
  readonly location: string;
}

/** Path of a request -> its response. No other file on disk can be reached. */
export type StaticPages = ReadonlyMap<string, StaticFile | Redirect>;

/** Extension -> content type. A file of another kind is not served. */
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The relative path is the same from the sources and from the build. */
const DEMO_FOLDER = new URL("../../web/demo/", import.meta.url);

/**
 * A page may run its own scripts, and connect to the service that it came from. `ws:` and `wss:`
 * are listed because not every browser counts them as the page's own origin.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self' ws: wss:",
  "base-uri 'none'",
  "form-action 'none'",
  // Prevents clickjacking by pages that show it in a frame.
  "frame-ancestors 'none'",
  // No text ever becomes markup or code.
  "require-trusted-types-for 'script'",
].join("; ");

/**
 * Reads the demo page, which is served at `/demo`, and its other files, which are served below.
 *
 * @throws Error with the system's code when the files are not there.
 */
export function loadDemoPage(): StaticPages {
  const pages = new Map<string, StaticFile | Redirect>([["/demo/", { location: "../demo" }]]);
  for (const name of readdirSync(DEMO_FOLDER)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = readFileSync(new URL(name, DEMO_FOLDER));
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    pages.set(name === "index.html" ? "/demo" : `/demo/${name}`, { body, type, etag });
  }
  return pages;
}

/** Responds with a file, or with a redirect, or with 304 when the browser has the file. */
export function answerStatic(
  file: StaticFile | Redirect,
  request: Request,
  response: Response,
): void {
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
    // Cached, but revalidated each time: after an update no browser mixes old and new files.
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
