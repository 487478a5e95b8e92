import type { IncomingMessage, ServerResponse } from "node:http";
import {
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  createServer as createHttp2,
} from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { dismissStream } from "../../rpc/dismiss.ts";
import { createDeadSessions } from "./dead-sessions.ts";
import { hostProblem } from "../host.ts";
import { createHttp1 } from "./http1.ts";
import { createNotices } from "./notices.ts";
import { createPendingResponses } from "./pending-responses.ts";
import { MAX_STREAMS, MAX_TRUSTED_STREAMS } from "./stream-limits.ts";
import { type PortLimits, openTcpPort } from "./tcp-port.ts";
import type { UpgradeListener } from "./upgrades.ts";

/** A request of either protocol version. */
export type Request = IncomingMessage | Http2ServerRequest;
/** A response of either protocol version. */
export type Response = ServerResponse | Http2ServerResponse;
/** Serves a request. */
export type RequestListener = (request: Request, response: Response) => void;
/** Serves an HTTP/2 stream without a request object. @returns Whether it takes the stream. */
export type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

/** The listeners of a port. */
export interface PortListeners extends PortLimits {
  readonly onRequest: RequestListener;
  readonly onStream: StreamListener;
  readonly onUpgrade: UpgradeListener;
}

/** An open port that speaks HTTP/1.1 and HTTP/2 (prior knowledge). */
export interface Listener {
  readonly host: string;
  /** The port; the one picked when 0 was given. */
  readonly port: number;
  /**
   * From now on each response over HTTP/1.1 closes its connection, so that the next call uses
   * another one.
   */
  closeAfterResponses(): void;
  /**
   * Accepts no more connections, and stops peers from opening streams on those that it has; requests
   * that have arrived are served. Resolves, after `SEND_AWAY_MS` at most, when each connection has
   * shown its protocol, each peer over HTTP/2 has confirmed, and each response has begun to requests
   * that arrived since `closeAfterResponses`.
   */
  sendAway(): Promise<void>;
  /**
   * Accepts no more connections and requests, waits for calls in flight, and cuts what is left
   * after `graceMs`. Idempotent.
   */
  close(graceMs: number): Promise<void>;
}

/** How long peers may take to finish their requests and to open no more, in milliseconds. */
const SEND_AWAY_MS = 3000;
/** How often a port that sends its peers away checks whether they are gone, in milliseconds. */
const AWAY_CHECK_MS = 10;
/** How often a connection is pinged, in milliseconds; two missed acknowledgements close it. */
const PING_INTERVAL_MS = 30_000;
/**
 * Memory of one HTTP/2 connection beyond which Node refuses new streams, in megabytes: enough for
 * one message of every stream. At Node's default of 10, a few subscribers that read slowly would
 * block every other call on their connection.
 */
const MAX_SESSION_MEMORY_MB = 4 * MAX_TRUSTED_STREAMS;

/**
 * Bytes that the peer of a stream may send before they are read: this bounds what is held for a call
 * that waits until its caller is authenticated. The protocol's default.
 */
const STREAM_WINDOW_BYTES = 65_535;

const HTTP2_OPTIONS = {
  settings: { maxConcurrentStreams: MAX_STREAMS, initialWindowSize: STREAM_WINDOW_BYTES },
  maxSessionMemory: MAX_SESSION_MEMORY_MB,
};

/** Opens a port. @throws Error with the system's code, for example EADDRINUSE. */
export async function listen(
  host: string,
  port: number,
  { admitConnection, unsettled, onRequest, onStream, onUpgrade }: PortListeners,
): Promise<Listener> {
  let isLeaving = false;
  const pending = createPendingResponses();
  const h1 = createHttp1((request, response) => {
    if (isLeaving) {
      response.setHeader("connection", "close");
      pending.add(response);
    }
    onRequest(request, response);
  }, onUpgrade);
  const h2 = createHttp2(HTTP2_OPTIONS);
  // Never listens: it makes requests of the streams that `onStream` does not take.
  const requests = createHttp2(HTTP2_OPTIONS, onRequest);
  h2.on("stream", (stream, headers, ...rest) => {
    if (isLeaving) pending.add(stream);
    const problem = hostProblem(headers);
    if (problem !== undefined) refuseStream(stream, problem);
    else if (!onStream(stream, headers)) requests.emit("stream", stream, headers, ...rest);
  });
  const sessions = new Set<ServerHttp2Session>();
  const notices = createNotices();
  const deadSessions = createDeadSessions();
  let connecting: Socket | undefined;
  h2.on("session", (session) => {
    const socket = connecting as Socket;
    sessions.add(session);
    deadSessions.watch(session, socket);
    const stopPings = keepAlive(session, socket);
    socket.on("close", stopPings);
    session.once("remoteSettings", () => tcp.settle(socket));
    notices.add(session, socket);
    session.on("close", () => {
      sessions.delete(session);
      notices.remove(session);
    });
    session.on("error", () => session.destroy());
  });
  const tcp = await openTcpPort(
    host,
    port,
    {
      http1: h1,
      // The session is created during this call. It does not reveal its socket later.
      http2: {
        emit(event, socket) {
          connecting = socket;
          return h2.emit(event, socket);
        },
      },
    },
    { admitConnection, unsettled },
  );

  const sendAway = async () => {
    // Before the notices: a proxy may replace the connection that it may no longer use.
    await tcp.stopAccepting();
    const endMs = performance.now() + SEND_AWAY_MS;
    notices.send();
    // A connection may become one of HTTP/2, and its peer may open streams until it confirms.
    while (tcp.hasUnsettled() || !notices.areConfirmed() || pending.any()) {
      if (performance.now() >= endMs) return;
      await delay(AWAY_CHECK_MS);
    }
  };
  let closed: Promise<void> | undefined;
  const close = async (graceMs: number) => {
    const gone = tcp.close(graceMs);
    // Sends a GOAWAY: open streams finish, then the connection closes.
    for (const session of sessions) session.close();
    await gone;
    deadSessions.close();
    h2.close();
  };
  return {
    host: tcp.address.address,
    port: tcp.address.port,
    closeAfterResponses: () => (isLeaving = true),
    sendAway,
    close: (graceMs) => (closed ??= close(graceMs)),
  };
}

function refuseStream(stream: ServerHttp2Stream, problem: string): void {
  stream.on("error", () => {});
  stream.respond({ ":status": 400, "content-type": "text/plain; charset=utf-8" });
  stream.end(`Bad request: ${problem}\n`);
  dismissStream(stream);
}

/** Closes connections whose peer has vanished. */
function keepAlive(session: ServerHttp2Session, socket: Socket): () => void {
  let missed = 0;
  const timer = setInterval(() => {
    // After a GOAWAY the session is gone, but the peer may keep the connection open forever.
    if (session.destroyed || missed >= 2) {
      socket.destroy();
      return;
    }
    missed++;
    session.ping((error) => {
      if (error === null) missed = 0;
    });
  }, PING_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
