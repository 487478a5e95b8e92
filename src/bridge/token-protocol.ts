import type { IncomingHttpHeaders } from "node:http";

/** The sub-protocol before the one that is a token: browsers cannot set headers. */
export const TOKEN_PROTOCOL = "Authorization";

/** The token that a handshake carries as a sub-protocol; undefined: none, or a header carries one. */
export function protocolToken(headers: IncomingHttpHeaders): string | undefined {
  if (headers.authorization !== undefined) return undefined;
  const [first, token] = (headers["sec-websocket-protocol"] ?? "")
    .split(",")
    .map((part) => part.trim());
  return first === TOKEN_PROTOCOL && token !== "" ? token : undefined;
}
