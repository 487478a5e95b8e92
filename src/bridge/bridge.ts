import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import type { AuthRequest } from "../core/auth.ts";
import { StreamError } from "../core/errors.ts";
import type { Handlers } from "../service/handlers.ts";
import { CLOSE } from "./close-codes.ts";
import type { BridgeLimits } from "./limits.ts";
import { watchLife } from "./life.ts";
import { BridgeSession, type SessionSocket } from "./session.ts";
import { type UrlTarget, urlTarget } from "./target.ts";

/** What the bridge works with. */
export interface BridgeOptions {
  readonly handlers: Handlers;
  readonly limits: BridgeLimits;
  /** Whether a page of the request's origin may follow streams. */
  readonly allowsOrigin: (request: IncomingMessage) => boolean;
  /** What `auth_function` learns of a request. */
  readonly authRequest: (request: IncomingMessage) => AuthRequest;
}

/** The WebSocket bridge for browsers. */
export interface Bridge {
  /** Takes an upgrade request, or refuses it with an HTTP status. @returns false when the path is not the bridge's. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** Closes every socket with 1001 and refuses new ones. Idempotent. */
  close(): void;
}

/** How long a closing handshake may take before the socket is cut, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;
/** The same for a client that was too slow: it gets to the code once it has read what lies before it. */
const SLOW_CLOSE_TIMEOUT_MS = 30_000;
/** Most pieces in which a frame of a client may come. */
const MAX_FRAGMENTS = 256;
const MAX_BUFFERED_CHUNKS = 16 * 1024;
/** The sub-protocol that carries a token, for browsers, which cannot set headers. */
const TOKEN_PROTOCOL = "Authorization";

/** Starts the bridge. It listens to nothing itself: the server hands it upgrade requests. */
export function createBridge(options: BridgeOptions): Bridge {
  const { handlers, limits, allowsOrigin, authRequest } = options;
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compressing costs each socket more than all the rest of sending.
    perMessageDeflate: false,
    maxPayload: limits.maxFrameBytes,
    maxFragments: MAX_FRAGMENTS,
    maxBufferedChunks: MAX_BUFFERED_CHUNKS,
    autoPong: false,
    handleProtocols: (offered) => (offered.has(TOKEN_PROTOCOL) ? TOKEN_PROTOCOL : false),
  });
  /** How to close each open socket. */
  const sockets = new Map<WebSocket, (code: number, reason: string) => void>();
  let closed = false;

  const start = (webSocket: WebSocket, stream: Duplex, target: UrlTarget, context: string) => {
    const end = (code: number, reason: string) => {
      if (!stop()) return;
      webSocket.close(code, reason);
      cutAfter(code === CLOSE.SLOW_SUBSCRIBER ? SLOW_CLOSE_TIMEOUT_MS : CLOSE_TIMEOUT_MS);
    };
    const socket = sessionSocket(webSocket, stream, end);
    const session = new BridgeSession(handlers, socket, limits, context);
    const stopWatching = watchLife(webSocket, limits, end);
    const receive = (data: RawData) => session.receive(textOf(data));
    /** @returns whether it was open until now. What still comes is read away, unheard. */
    const stop = () => {
      webSocket.off("message", receive);
      stopWatching();
      session.close();
      return sockets.delete(webSocket);
    };
    const cutAfter = (ms: number) => {
      const timer = setTimeout(() => webSocket.terminate(), ms);
      webSocket.once("close", () => clearTimeout(timer));
    };
    sockets.set(webSocket, end);
    webSocket.on("message", receive);
    webSocket.on("close", stop);
    // A breach of the protocol, or a frame too large: ws closes with its code, which the client gets to read.
    webSocket.on("error", () => {
      if (stop()) cutAfter(CLOSE_TIMEOUT_MS);
    });
    if (target.kind === "stream") session.joinByUrl(target.target, randomUUID());
  };

  /** Asks who the client is, then opens the socket. */
  const shakeHands = async (
    request: IncomingMessage,
    stream: Duplex,
    head: Buffer,
    target: UrlTarget,
  ) => {
    let context: string;
    // Nobody else listens to it meanwhile.
    stream.on("error", ignore);
    try {
      context = await handlers.authenticate(withToken(authRequest(request)));
    } catch (error) {
      const { reason, message } = StreamError.from(error);
      return refuse(stream, reason === "AUTH_REFUSED" ? 401 : 503, message);
    } finally {
      stream.off("error", ignore);
    }
    if (stream.destroyed) return;
    if (closed) return refuse(stream, 503, "The service is shutting down.");
    server.handleUpgrade(request, stream, head, (webSocket) =>
      start(webSocket, stream, target, context),
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
      for (const end of sockets.values()) end(CLOSE.GOING_AWAY, "the service is shutting down");
    },
  };
}

const ignore = () => {};

/** A token that came as a sub-protocol stands in for the header that browsers cannot send. */
function withToken(request: AuthRequest): AuthRequest {
  const { headers } = request;
  const [first, token] = (headers["sec-websocket-protocol"] ?? "")
    .split(",")
    .map((part) => part.trim());
  if (first !== TOKEN_PROTOCOL || !token || headers["authorization"] !== undefined) return request;
  return { ...request, headers: { ...headers, authorization: token } };
}

/**
 * The socket for a session. Frames go past ws, which would make a header for each and every socket:
 * it only has to know nothing of what lies between its own.
 */
function sessionSocket(
  webSocket: WebSocket,
  stream: Duplex,
  close: SessionSocket["close"],
): SessionSocket {
  return {
    get bufferedBytes() {
      return stream.writableLength;
    },
    send(frames, taken) {
      // Nothing may follow a closing frame.
      if (webSocket.readyState === webSocket.OPEN) stream.write(frames, taken);
      else process.nextTick(taken);
    },
    close,
  };
}

/** Answers an upgrade request with an HTTP status instead. */
export function refuse(socket: Duplex, status: number, sentence: string): void {
  const body = `${sentence}\n`;
  // Who is refused and goes away at once is no reason to fail.
  socket.on("error", () => socket.destroy());
  // Who is refused and keeps the connection open would hold it for good.
  socket.once("finish", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_TEXTS[status] ?? "Refused"}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  503: "Service Unavailable",
};

/** The text of a frame; undefined when it is not valid UTF-8. */
function textOf(data: RawData): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      Array.isArray(data) ? Buffer.concat(data) : data,
    );
  } catch {
    return undefined;
  }
}
