import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type PerMessageDeflateOptions, type RawData, type WebSocket, WebSocketServer } from "ws";
import type { Connected } from "../core/connection.ts";
import type { Caller } from "../rights/caller.ts";
import type { SessionBasis } from "../service/engine.ts";
import { LazyConnection } from "../service/connection-ids.ts";
import { StreamError } from "../core/errors.ts";
import type { ByteBudget } from "../limits/body-budget.ts";
import type { SocketAdmission } from "../limits/caller-limiter.ts";
import { type OpenFrameAccount, PartialFrames } from "../limits/partial-frames.ts";
import { retryAfterSeconds } from "../limits/refusals.ts";
import type { Rate } from "../limits/token-bucket.ts";
import { BridgeSocket, type BridgeSocketOptions, type BridgeSocketOwner } from "./bridge-socket.ts";
import {
  COMPRESSION,
  COMPRESSION_OF_SMALL_WINDOW,
  DeltaCompression,
  asksForCompression,
  offersSmallWindow,
} from "./delta-compression.ts";
import { Pings } from "./pings.ts";
import { createSessions } from "./sessions.ts";
import { type UrlTarget, urlTarget } from "./target.ts";
import { TOKEN_PROTOCOL } from "./token-protocol.ts";
import { Moments } from "../timers/moments.ts";

/** Dependencies and limits of the bridge. */
export interface BridgeOptions extends Omit<
  BridgeSocketOptions,
  "rates" | "deadlines" | "sessions"
> {
  /** Dependencies of the sessions of clients. */
  readonly sessions: SessionBasis;
  /** Rate of the joins of one socket. */
  readonly subscriptions: Rate;
  /** Rate of the calls of one socket. */
  readonly callRate: Rate;
  /** Opens an account for a message that is not whole, by how large the messages of its socket may be. */
  readonly openFrameAccount: (
    ...args: [...Parameters<OpenFrameAccount<Duplex>>, FrameSize]
  ) => ByteBudget;
  /** Whether a page of the request's origin may follow streams. */
  readonly allowsOrigin: (request: IncomingMessage) => boolean;
  /**
   * Counts a handshake against the limits of its client.
   *
   * @throws StreamError RATE_LIMITED, TOO_MANY_CONNECTIONS
   */
  readonly admit: (request: IncomingMessage) => SocketAdmission;
  /**
   * Finds out the caller of a request.
   *
   * @throws StreamError AUTH_REFUSED, AUTH_EXPIRED, NOT_TRUSTED
   */
  readonly identify: (request: IncomingMessage, connection: Connected) => Promise<Caller>;
}

/**
 * How large the frames of a socket may be: `small`, or as large as a request, when its client has
 * said hello and may write. `trusted`: the same, and others cannot displace them.
 */
export type FrameSize = "small" | "large" | "trusted";

/** The WebSocket bridge for browsers. */
export interface Bridge {
  /**
   * Accepts an upgrade request, or refuses it with an HTTP status.
   *
   * @returns false when the path is not the bridge's.
   */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /**
   * Closes every socket with 1001, once its open calls have their results, and refuses new ones.
   * Idempotent.
   */
  close(): void;
}

/** Codes by which clients close sockets that they do not need any more; 1005: without a code. */
const CLEAN_CODES: ReadonlySet<number> = new Set([1000, 1001, 1005]);

/** Pings in the time that a session outlives its connection, of a socket whose loss matters. */
const PINGS_PER_TIMEOUT = 3;

/** Most fragments of a client's message. */
const MAX_FRAGMENTS = 256;
const MAX_BUFFERED_CHUNKS = 16 * 1024;

/** Creates the bridge. It opens no port: the server passes it upgrade requests. */
export function createBridge(options: BridgeOptions): Bridge {
  const { handlers, limits, require, renew } = options;
  const { subscriptions, callRate, openFrameAccount, allowsOrigin, admit, identify } = options;
  const { maxFramesPerSecond, maxFrameBurst } = limits;
  const frames = { perSecond: maxFramesPerSecond, burst: maxFrameBurst };
  const serverOptions = {
    noServer: true,
    clientTracking: false,
    maxPayload: limits.maxFrameBytes,
    maxFragments: MAX_FRAGMENTS,
    maxBufferedChunks: MAX_BUFFERED_CHUNKS,
    autoPong: false,
    handleProtocols: (offered: Set<string>) =>
      offered.has(TOKEN_PROTOCOL) ? TOKEN_PROTOCOL : false,
  } as const;
  // Compression by ws would cost each socket more than all the rest of sending.
  const serverWith = (perMessageDeflate: PerMessageDeflateOptions | false) =>
    new WebSocketServer({ ...serverOptions, perMessageDeflate });
  const server = serverWith(false);
  const compressing = serverWith(COMPRESSION);
  const compressingSmall = serverWith(COMPRESSION_OF_SMALL_WINDOW);
  const serverFor = ({ url, headers }: IncomingMessage) => {
    if (!asksForCompression(url)) return server;
    return offersSmallWindow(headers["sec-websocket-extensions"]) ? compressingSmall : compressing;
  };
  const rates = { frames, subscriptions, calls: callRate };
  const deadlines = new Moments();
  const { calls, continued } = options;
  const sessions = createSessions(options.sessions, limits.maxSubscriptions, calls.waiting);
  const shared = { calls, sessions, continued, rates, deadlines };
  const socketOptions = { handlers, limits, require, renew, ...shared };
  const sockets = new Map<WebSocket, BridgeSocket>();
  const pings = new Pings(limits.pingIntervalMs, options.sessions.timeoutMs / PINGS_PER_TIMEOUT);
  const larger = new Map<Duplex, FrameSize>();
  /** Lets a client that said hello send what it may call. */
  const allowCalls = (webSocket: WebSocket, stream: Duplex, { rights }: Caller) => {
    if (rights !== undefined && !rights.mayAllow("write") && !rights.mayAllow("send")) return;
    larger.set(stream, rights === undefined ? "trusted" : "large");
    raiseMaxPayload(webSocket, limits.maxCallFrameBytes);
  };
  const forget = (webSocket: WebSocket, stream: Duplex) => {
    const socket = sockets.get(webSocket);
    if (socket !== undefined) pings.remove(socket);
    sockets.delete(webSocket);
    stream.off("data", onData);
    partials.forget(stream);
    larger.delete(stream);
  };
  const partials = new PartialFrames<Duplex>(
    (stream, cut) => openFrameAccount(stream, cut, larger.get(stream) ?? "small"),
    (stream, code, reason) => {
      for (const [webSocket, socket] of sockets) {
        if (socket.stream !== stream) continue;
        socket.close(code, reason);
        // Nothing more of it may come into memory.
        return webSocket.pause();
      }
    },
    (stream) => (larger.has(stream) ? limits.maxCallFrameBytes : limits.maxFrameBytes),
  );
  const owner: BridgeSocketOwner = {
    onStopped: forget,
    onHello: allowCalls,
    onPingOften(webSocket) {
      const socket = sockets.get(webSocket);
      if (socket !== undefined) pings.hurry(socket);
    },
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
  function onClose(this: WebSocket, code: number) {
    sockets.get(this)?.stop(CLEAN_CODES.has(code));
  }
  function onError(this: WebSocket) {
    sockets.get(this)?.fail();
  }
  let closed = false;

  const start = (
    webSocket: WebSocket,
    stream: Duplex,
    target: UrlTarget,
    caller: Caller,
    admission: SocketAdmission,
  ) => {
    const isCompressed = webSocket.extensions !== "";
    const compression = isCompressed ? new DeltaCompression() : undefined;
    const given = [caller, admission, owner, compression] as const;
    const socket = new BridgeSocket(webSocket, stream, socketOptions, ...given);
    sockets.set(webSocket, socket);
    pings.add(socket);
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
    let caller: Caller;
    let admission: SocketAdmission;
    // The stream has no other error listener meanwhile.
    stream.on("error", ignore);
    try {
      admission = admit(request);
      if (admission.release !== undefined) stream.once("close", admission.release);
      // Not the id of HTTP: behind a proxy, the connection may have carried requests of others.
      caller = await identify(request, new LazyConnection());
    } catch (error) {
      return refuseFor(stream, StreamError.from(error));
    } finally {
      stream.off("error", ignore);
    }
    if (stream.destroyed) return;
    if (closed) return refuse(stream, 503, "The service is shutting down.");
    serverFor(request).handleUpgrade(request, stream, head, (webSocket) =>
      start(webSocket, stream, target, caller, admission),
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
      sessions.close();
      for (const { session } of sockets.values()) session.goAway();
    },
  };
}

/**
 * Lets a socket send larger frames from now on. ws offers no way to do it, and its frames of a limit
 * that is decided at the handshake would hold memory for clients that never say hello.
 */
function raiseMaxPayload(webSocket: WebSocket, bytes: number): void {
  interface Limited {
    _maxPayload: number;
  }
  const { _receiver: receiver, _extensions: extensions } = webSocket as unknown as {
    readonly _receiver: Limited;
    readonly _extensions: Readonly<Record<string, Limited>>;
  };
  // An extension limits what compressed frames inflate to.
  for (const limited of [receiver, ...Object.values(extensions)])
    limited._maxPayload = Math.max(limited._maxPayload, bytes);
}

const ID_BYTES = 16;
/**
 * An id that no client picks by chance. (Node builds a UUID from twenty strings, which takes more
 * memory.)
 */
const newSubscriptionId = () => randomBytes(ID_BYTES).toString("hex");

const ignore = () => {};

/** Refuses a handshake that failed with an error. */
function refuseFor(stream: Duplex, error: StreamError): void {
  const seconds = retryAfterSeconds(error);
  const headers = seconds === undefined ? {} : { "Retry-After": String(seconds) };
  refuse(stream, STATUSES[error.reason] ?? 503, error.message, headers);
}

const STATUSES: Readonly<Record<string, number>> = {
  AUTH_REFUSED: 401,
  AUTH_EXPIRED: 401,
  NOT_TRUSTED: 403,
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
