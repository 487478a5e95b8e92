import type { IncomingHttpHeaders } from "node:http2";
import type { Origin } from "../limits/caller-limiter.ts";
import { createConnectionIds } from "../service/connection-ids.ts";
import { authRequestOf } from "./auth-request.ts";
import { type CallerFacts, factsFrom } from "./caller-facts.ts";
import type { Connection } from "./permits.ts";
import type { Request } from "./port/listener.ts";

/** The ids of all connections. */
export const connectionIds = createConnectionIds();

/** The connection of a request. */
export function connectionOf(request: Request): Connection {
  const identity = "stream" in request ? request.stream.session : request.socket;
  const connected = () => connectionIds(identity ?? request);
  return {
    identity,
    ...originOf(request),
    connected,
    auth: () => authRequestOf(request.headers, request.url ?? "", request.socket, connected),
  };
}

/** The origin of a request, for the limits of callers. */
export function originOf({ socket, headers }: Request): Origin {
  return { peer: socket.remoteAddress, forwardedFor: forwardedForOf(headers) };
}

/** The `x-forwarded-for` header, joined if it was sent more than once. */
export function forwardedForOf(headers: IncomingHttpHeaders): string | undefined {
  const value = headers["x-forwarded-for"];
  return Array.isArray(value) ? value.join(",") : value;
}

/** What a request says about its caller. */
export function factsOf(request: Request): CallerFacts {
  return factsFrom(request.headers, request.socket.remoteAddress);
}
