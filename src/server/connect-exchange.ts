import type { IncomingMessage, ServerResponse } from "node:http";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { ConnectExchange } from "../rpc/fast-path/connect-unary.ts";
import { isGone } from "../rpc/fast-path/grpc-response.ts";
import { dismissStream } from "../rpc/dismiss.ts";

/** A request over HTTP/1.1, for the fast path of Connect. */
export function exchangeOver1(request: IncomingMessage, response: ServerResponse): ConnectExchange {
  const { headers } = request;
  return {
    method: request.method,
    path: request.url ?? "",
    host: headers.host,
    headers,
    body: request,
    onClose: (callback) => response.on("close", callback),
    respond(status, fields, body) {
      if (response.destroyed) return;
      response.writeHead(status, fields);
      response.end(body);
    },
  };
}

/** A request over HTTP/2, for the fast path of Connect. */
export function exchangeOver2(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): ConnectExchange {
  return {
    method: headers[":method"],
    path: headers[":path"] ?? "",
    host: headers[":authority"] ?? headers.host,
    headers,
    body: stream,
    onClose: (callback) => stream.on("close", callback),
    respond(status, fields, body) {
      if (isGone(stream)) return;
      stream.respond({ ":status": status, ...fields });
      stream.end(body);
      dismissStream(stream);
    },
  };
}
