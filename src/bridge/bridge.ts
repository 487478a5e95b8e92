import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import type { Handlers } from "../service/handlers.ts";
import { CLOSE } from "./close-codes.ts";
import type { BridgeLimits } from "./limits.ts";
import { BridgeSession } from "./session.ts";
import { urlTarget } from "./target.ts";

/** What the bridge works with. */
export interface BridgeOptions {
  readonly handlers: Handlers;
  readonly limits: BridgeLimits;
  /** Whether a page of the request's origin may follow streams. */
  readonly allowsOrigin: (request: IncomingMessage) => boolean;
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
/** The sub-protocol that carries a token, for browsers, which cannot set headers. */
const TOKEN_PROTOCOL = "Authorization";

/** Starts the bridge. It listens to nothing itself: the server hands it upgrade requests. */
export function createBridge({ handlers, limits, allowsOrigin }: BridgeOptions): Bridge {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compressing costs each socket more than all the rest of sending.
    perMessageDeflate: false,
    maxPayload: limits.maxFrameBytes,
    handleProtocols: (offered) => (offered.has(TOKEN_PROTOCOL) ? TOKEN_PROTOCOL : false),
  });
  const sockets = new Set<WebSocket>();
  let closed = false;

  const start = (webSocket: WebSocket, target: ReturnType<typeof urlTarget>) => {
    sockets.add(webSocket);
    const end = (code: number, reason: string) => {
      webSocket.close(code, reason);
      setTimeout(() => webSocket.terminate(), CLOSE_TIMEOUT_MS).unref();
    };
    const session = new BridgeSession(
      handlers,
      {
        get bufferedBytes() {
          return webSocket.bufferedAmount;
        },
        send: (text, taken) => webSocket.send(text, taken),
        close: end,
      },
      limits,
    );
    const stopWatching = watchLife(webSocket, limits, end);
    webSocket.on("message", (data) => session.receive(textOf(data)));
    webSocket.on("error", () => webSocket.terminate());
    webSocket.on("close", () => {
      stopWatching();
      sockets.delete(webSocket);
      session.close();
    });
    if (target.kind === "stream") session.joinByUrl(target.target, randomUUID());
  };

  return {
    upgrade(request, socket, head) {
      const target = urlTarget(request.url?.split("?", 1)[0] ?? "");
      if (target.kind === "elsewhere") return false;
      if (closed) refuse(socket, 503, "The service is shutting down.");
      else if (!allowsOrigin(request))
        refuse(
          socket,
          403,
          "origin is not allowed; it may be one of the service's allowed_origins.",
        );
      else if (target.kind === "invalid") refuse(socket, 400, target.sentence);
      else server.handleUpgrade(request, socket, head, (webSocket) => start(webSocket, target));
      return true;
    },
    close() {
      closed = true;
      for (const webSocket of sockets) {
        webSocket.close(CLOSE.GOING_AWAY, "the service is shutting down");
        setTimeout(() => webSocket.terminate(), CLOSE_TIMEOUT_MS).unref();
      }
    },
  };
}

/** Answers an upgrade request with an HTTP status instead. */
export function refuse(socket: Duplex, status: number, sentence: string): void {
  const body = `${sentence}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_TEXTS[status] ?? "Refused"}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  503: "Service Unavailable",
};

/** Ends sockets that are dead, or too fast. Any inbound frame is life. */
function watchLife(
  webSocket: WebSocket,
  limits: BridgeLimits,
  end: (code: number, reason: string) => void,
): () => void {
  let missed = 0;
  let tokens = limits.maxFrameBurst;
  let refilledAtMs = Date.now();
  const live = () => {
    missed = 0;
    const nowMs = Date.now();
    tokens = Math.min(
      limits.maxFrameBurst,
      tokens + ((nowMs - refilledAtMs) * limits.maxFramesPerSecond) / 1000,
    );
    refilledAtMs = nowMs;
    tokens -= 1;
    if (tokens < 0) end(CLOSE.TOO_MUCH, "frames come too fast");
  };
  webSocket.on("message", live);
  webSocket.on("ping", live);
  webSocket.on("pong", live);
  const timer = setInterval(() => {
    if (missed >= 2) return end(CLOSE.NO_PONG, "no sign of life");
    missed++;
    webSocket.ping();
  }, limits.pingIntervalMs);
  timer.unref();
  return () => clearInterval(timer);
}

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
