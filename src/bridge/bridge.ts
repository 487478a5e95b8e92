import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import type { AuthRequest } from "../core/auth.ts";
import { createConnectionIds } from "../service/connection-ids.ts";
import { StreamError } from "../core/errors.ts";
import type { SocketAdmission } from "../limits/caller-limiter.ts";
import { type OpenFrameAccount, PartialFrames } from "../limits/partial-frames.ts";
import { retryAfterSeconds } from "../limits/refusals.ts";
import type { Rate } from "../limits/token-bucket.ts";
import { CLOSE } from "./close-codes.ts";
import { BridgeSocket, type BridgeSocketOptions } from "./bridge-socket.ts";
import { CHECKS_PER_INTERVAL } from "./liveness.ts";
import { type UrlTarget, urlTarget } from "./target.ts";
import { type Timer, startInterval } from "../timers/timers.ts";

/** Dependencies and limits of the bridge. */
export interface BridgeOptions extends Omit<BridgeSocketOptions, "connectionIds" | "rates"> {
  /** Rate of the joins of one socket. */
  readonly subscriptions: Rate;
  /** Opens an account for a message that is not whole. */
  readonly openFrameAccount: OpenFrameAccount<Duplex>;
  /** Whether a page of the request's origin may follow streams. */
  readonly allowsOrigin: (request: IncomingMessage) => boolean;
  /**
   * Counts a handshake against the limits of its client.
   *
   * @throws StreamError RATE_LIMITED, TOO_MANY_CONNECTIONS
   */
  readonly admit: (request: IncomingMessage) => SocketAdmission;
  /** The payload of `auth_function` for a request. */
  readonly authRequest: (request: IncomingMessage, connectionId: () => string) => AuthRequest;
}

/** The WebSocket bridge for browsers. */
export interface Bridge {
  /**
   * Accepts an upgrade request, or refuses it with an HTTP status.
   *
   * @returns false when the path is not the bridge's.
   */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** Closes every socket with 1001 and refuses new ones. Idempotent. */
  close(): void;
}

/** Most fragments of a client's message. */
const MAX_FRAGMENTS = 256;
const MAX_BUFFERED_CHUNKS = 16 * 1024;
/** The sub-protocol that carries a token, for browsers, which cannot set headers. */
const TOKEN_PROTOCOL = "Authorization";

/** Creates the bridge. It opens no port: the server passes it upgrade requests. */
export function createBridge(options: BridgeOptions): Bridge {
  const { handlers, limits, subscriptions, openFrameAccount, allowsOrigin, admit, authRequest } =
    options;
  const { maxFramesPerSecond, maxFrameBurst } = limits;
  const frames = { perSecond: maxFramesPerSecond, burst: maxFrameBurst };
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compression would cost each socket more than all the rest of sending.
    perMessageDeflate: false,
    maxPayload: limits.maxFrameBytes,
    maxFragments: MAX_FRAGMENTS,
    maxBufferedChunks: MAX_BUFFERED_CHUNKS,
    autoPong: false,
    handleProtocols: (offered) => (offered.has(TOKEN_PROTOCOL) ? TOKEN_PROTOCOL : false),
  });
  // Not the ids of HTTP: behind a proxy, a connection may have carried requests of other clients
  // before.
  const connectionIds = createConnectionIds();
  const socketOptions = { handlers, limits, connectionIds, rates: { frames, subscriptions } };
  const sockets = new Map<WebSocket, BridgeSocket>();
  const forget = (webSocket: WebSocket, stream: Duplex) => {
    sockets.delete(webSocket);
    stream.off("data", onData);
    partials.forget(stream);
    if (sockets.size > 0) return;
    checks?.cancel();
    checks = undefined;
  };
  const partials = new PartialFrames<Duplex>(openFrameAccount, (stream, code, reason) => {
    for (const [webSocket, socket] of sockets) {
      if (socket.stream !== stream) continue;
      socket.close(code, reason);
      // Nothing more of it may come into memory.
      return webSocket.pause();
    }
  });
  // One timer for all sockets.
  let checks: Timer | undefined;
  const checkAll = () => {
    for (const socket of sockets.values()) socket.check();
  };
  // One listener for all sockets: `this` is the WebSocket of the event.
  function onData(this: Duplex, chunk: Buffer) {
    partials.receive(this, chunk);
  }
  function onMessage(this: WebSocket, data: RawData) {
    sockets.get(this)?.receive(data);
  }
  function onPing(this: WebSocket, data: Buffer) {
    sockets.get(this)?.receivePing(data);
  }
  function onPong(this: WebSocket) {
    sockets.get(this)?.receivePong();
  }
  function onClose(this: WebSocket) {
    sockets.get(this)?.stop();
  }
  function onError(this: WebSocket) {
    sockets.get(this)?.fail();
  }
  let closed = false;

  const start = (
    webSocket: WebSocket,
    stream: Duplex,
    target: UrlTarget,
    context: string,
    admission: SocketAdmission,
  ) => {
    const socket = new BridgeSocket(webSocket, stream, socketOptions, context, admission, forget);
    sockets.set(webSocket, socket);
    checks ??= startInterval(limits.pingIntervalMs / CHECKS_PER_INTERVAL, checkAll).unref();
    webSocket.on("message", onMessage).on("ping", onPing).on("pong", onPong);
    // After the listener of ws: what is not whole then waits in memory.
    stream.on("data", onData);
    webSocket.on("close", onClose).on("error", onError);
    if (target.kind === "stream") socket.session.joinByUrl(target.target, newSubscriptionId());
  };

  /** Authenticates the client, then opens the socket. */
  const shakeHands = async (
    request: IncomingMessage,
    stream: Duplex,
    head: Buffer,
    target: UrlTarget,
  ) => {
    if (stream.destroyed) return;
    let context: string;
    let admission: SocketAdmission;
    // The stream has no other error listener meanwhile.
    stream.on("error", ignore);
    try {
      admission = admit(request);
      if (admission.release !== undefined) stream.once("close", admission.release);
      context = await handlers.authenticate(
        withToken(authRequest(request, () => connectionIds(stream))),
      );
    } catch (error) {
      return refuseFor(stream, StreamError.from(error));
    } finally {
      stream.off("error", ignore);
    }
    if (stream.destroyed) return;
    if (closed) return refuse(stream, 503, "The service is shutting down.");
    server.handleUpgrade(request, stream, head, (webSocket) =>
      start(webSocket, stream, target, context, admission),
    );
  };

  return {
    upgrade(request, stream, head) {
      const target = urlTarget(request.url?.split("?", 1)[0] ?? "");
      if (target.kind === "elsewhere") return false;
      if (closed) refuse(stream, 503, "The service is shutting down.");
      else if (!allowsOrigin(request))
        refuse(
          stream,
          403,
          "origin is not allowed; it may be one of the service's allowed_origins.",
        );
      else if (target.kind === "invalid") refuse(stream, 400, target.sentence);
      else shakeHands(request, stream, head, target).catch(() => stream.destroy());
      return true;
    },
    close() {
      closed = true;
      for (const socket of sockets.values())
        socket.close(CLOSE.GOING_AWAY, "the service is shutting down");
    },
  };
}

const ID_BYTES = 16;
/**
 * An id that no client picks by chance. (Node builds a UUID from twenty strings, which takes more
 * memory.)
 */
const newSubscriptionId = () => randomBytes(ID_BYTES).toString("hex");

const ignore = () => {};

/**
 * Moves a token sent as a sub-protocol to the `authorization` header, which browsers cannot send.
 */
function withToken(request: AuthRequest): AuthRequest {
  const { headers } = request;
  const [first, token] = (headers["sec-websocket-protocol"] ?? "")
    .split(",")
    .map((part) => part.trim());
  if (first !== TOKEN_PROTOCOL || !token || headers["authorization"] !== undefined) return request;
  return { ...request, headers: { ...headers, authorization: token } };
}

/** Refuses a handshake that failed with an error. */
function refuseFor(stream: Duplex, error: StreamError): void {
  const seconds = retryAfterSeconds(error);
  const headers = seconds === undefined ? {} : { "Retry-After": String(seconds) };
  refuse(stream, STATUSES[error.reason] ?? 503, error.message, headers);
}

const STATUSES: Readonly<Record<string, number>> = {
  AUTH_REFUSED: 401,
  RATE_LIMITED: 429,
  TOO_MANY_CONNECTIONS: 429,
};

/**
 * Refuses an upgrade request with an HTTP status.
 *
 * @param headers Additional headers.
 */
export function refuse(
  socket: Duplex,
  status: number,
  sentence: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = `${sentence}\n`;
  // A refused client that disconnects at once must not cause an unhandled error.
  socket.on("error", () => socket.destroy());
  // A refused client must not hold the connection open forever.
  socket.once("finish", () => socket.destroy());
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_TEXTS[status] ?? "Refused"}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `${fields.join("")}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  429: "Too Many Requests",
  503: "Service Unavailable",
};
