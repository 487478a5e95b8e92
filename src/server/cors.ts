import { cors } from "@connectrpc/connect";
import type { Request, Response } from "./port/listener.ts";

/** How long browsers may remember a preflight, in seconds. */
const PREFLIGHT_MAX_AGE_S = 7200;
/** Longest list of headers that a preflight may request, in bytes. */
const MAX_REQUESTED_BYTES = 4096;
/** Names of headers, separated by commas (RFC 9110, section 5.6.2). */
const HEADER_NAMES = /^[\w!#$%&'*+.^`|~-]+(?:[ \t]*,[ \t]*[\w!#$%&'*+.^`|~-]+)*$/;
const DEFAULT_HEADERS = [...cors.allowedHeaders, "Authorization"].join(", ");
const EXPOSED_HEADERS = [...cors.exposedHeaders, "Retry-After"].join(", ");

/** Lets a page of an allowed origin read the response. */
export function exposeTo(origin: string, response: Response): void {
  response.setHeader("access-control-allow-origin", origin);
  response.setHeader("access-control-expose-headers", EXPOSED_HEADERS);
}

/** Responds to a preflight of an allowed origin, which may send the headers that it requests. */
export function answerPreflight(request: Request, response: Response): void {
  const requested = request.headers["access-control-request-headers"];
  const isValid =
    typeof requested === "string" &&
    requested.length <= MAX_REQUESTED_BYTES &&
    HEADER_NAMES.test(requested);
  response.writeHead(204, {
    "access-control-allow-methods": cors.allowedMethods.join(", "),
    "access-control-allow-headers": isValid ? `${DEFAULT_HEADERS}, ${requested}` : DEFAULT_HEADERS,
    "access-control-max-age": String(PREFLIGHT_MAX_AGE_S),
    vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
  });
  response.end();
}
