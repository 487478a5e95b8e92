import {
  type IncomingMessage,
  type RequestListener,
  STATUS_CODES,
  type Server,
  type ServerOptions,
  createServer,
} from "node:http";
import type { Socket } from "node:net";
import { refuse } from "../../bridge/bridge.ts";
import { dismissRequest } from "../../rpc/dismiss.ts";
import { absoluteTarget, hostProblem } from "../host.ts";
import { trackResponses } from "./open-responses.ts";
import { type UpgradeListener, sortUpgrades } from "./upgrades.ts";

/**
 * How long a connection may be idle between requests, and how long a request head may take, in
 * milliseconds.
 */
const TIMEOUTS = { keepAliveTimeout: 60_000, headersTimeout: 20_000 };
/** How often connections are checked for overdue request heads, in milliseconds. */
const CHECKING_INTERVAL_MS = 5000;

/** How long a refused connection is read on, in milliseconds. */
const LINGER_MS = 1000;

const OPTIONS: ServerOptions = {
  ...TIMEOUTS,
  connectionsCheckingInterval: CHECKING_INTERVAL_MS,
  // A repeated `host`, `origin` or `authorization` is then malformed; otherwise the first would
  // count.
  joinDuplicateHeaders: true,
  // `problemOf` checks it, so that the refusal has a sentence.
  requireHostHeader: false,
};

/**
 * A server of HTTP/1.1. Its listeners receive only requests with a valid host, and its refusals
 * have a reason.
 */
export function createHttp1(onRequest: RequestListener, onUpgrade: UpgradeListener): Server {
  const server = createServer(OPTIONS);
  const responses = trackResponses(server);
  server.on("request", (request, response) => {
    response.once("finish", () => dismissRequest(request));
    const problem = problemOf(request);
    if (problem === undefined) return onRequest(request, response);
    const body = `Bad request: ${problem}\n`;
    response.writeHead(400, {
      "content-type": "text/plain; charset=utf-8",
      "content-length": Buffer.byteLength(body),
      connection: "close",
    });
    response.end(body);
  });
  sortUpgrades(server, responses, (request, socket, head) => {
    const problem = problemOf(request);
    if (problem === undefined) return onUpgrade(request, socket, head);
    refuse(socket, 400, `Bad request: ${problem}`);
    return true;
  });
  server.on("clientError", (error: MalformedRequest, socket: Socket) => {
    // A refusal must not be sent into the middle of a response.
    if (!socket.writable || responses.has(socket)) socket.destroy();
    else refuseMalformed(socket, error);
  });
  return server;
}

/**
 * What is wrong with the host of a request, as a sentence; undefined when it is valid. Rewrites an
 * absolute target as a path.
 */
function problemOf(request: IncomingMessage): string | undefined {
  const { headers, httpVersion } = request;
  if (headers.host === undefined && httpVersion === "1.1")
    return "host is missing; it may be one name or address, with a port or without.";
  const problem = hostProblem(headers);
  const target = problem === undefined ? absoluteTarget(request.url ?? "") : undefined;
  if (target === undefined) return problem;
  // The host of the target takes precedence (RFC 9112, section 3.2.2).
  headers.host = target.host;
  request.url = target.path;
  return hostProblem(headers);
}

/** Node's error for a request that it cannot parse. */
interface MalformedRequest extends Error {
  readonly code?: string;
  /** The bytes in which it occurred. */
  readonly rawPacket?: Buffer;
}

const ignore = () => {};

const REQUEST_LINE_START = /^[A-Z]+ /;
/** Most bytes of the request line and the headers together: Node's limit. */
const MAX_HEAD_BYTES = 16_384;

/** Whether the request line alone is too long. Later bytes of a head cannot show that. */
function isTargetTooLong({ code, rawPacket }: MalformedRequest): boolean {
  if (code !== "HPE_HEADER_OVERFLOW" || rawPacket === undefined) return false;
  const start = rawPacket.toString("latin1", 0, MAX_HEAD_BYTES);
  return REQUEST_LINE_START.test(start) && !start.includes("\n");
}

function refuseMalformed(socket: Socket, error: MalformedRequest): void {
  const [status, sentence] = isTargetTooLong(error)
    ? TARGET_TOO_LONG
    : (REFUSALS.get(error.code ?? "") ?? INVALID);
  const body = `${sentence}\n`;
  // The rest is discarded for a while: closing before it has arrived would reset the connection,
  // and lose the response.
  socket.removeAllListeners("data").on("data", ignore);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** Status and sentence of a refusal. */
type Refusal = readonly [number, string];

const INVALID: Refusal = [400, "The request is not valid HTTP/1.1."];
const TARGET_TOO_LONG: Refusal = [
  414,
  `The request target is too long; with all headers it may have ${MAX_HEAD_BYTES} bytes.`,
];
/** Node's code -> the refusal that the client receives. */
const REFUSALS = new Map<string, Refusal>([
  [
    "HPE_HEADER_OVERFLOW",
    [431, `The headers are too large; they may have ${MAX_HEAD_BYTES} bytes.`],
  ],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", [413, "The chunk extensions are too large."]],
  ["ERR_HTTP_REQUEST_TIMEOUT", [408, "The request took too long to arrive."]],
]);
