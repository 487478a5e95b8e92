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
import { dismissStream } from "../../rpc/dismiss.ts";
import { createDeadSessions } from "./dead-sessions.ts";
import { hostProblem } from "../host.ts";
import { createHttp1 } from "./http1.ts";
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
   * Stops peers from opening streams on their HTTP/2 connections; open streams are served. Resolves
   * when every peer has confirmed, after `SEND_AWAY_MS` at most.
   */
  sendAway(): Promise<void>;
  /**
   * Accepts no more connections and requests, waits for calls in flight, and cuts what is left
   * after `graceMs`. Idempotent.
   */
  close(graceMs: number): Promise<void>;
}

/** How long peers may take to confirm that they open no more streams, in milliseconds. */
const SEND_AWAY_MS = 3000;
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
  const h1 = createHttp1((request, response) => {
    if (isLeaving) response.setHeader("connection", "close");
    onRequest(request, response);
  }, onUpgrade);
  const h2 = createHttp2(HTTP2_OPTIONS);
  // Never listens: it makes requests of the streams that `onStream` does not take.
  const requests = createHttp2(HTTP2_OPTIONS, onRequest);
  h2.on("stream", (stream, headers, ...rest) => {
    const problem = hostProblem(headers);
    if (problem !== undefined) refuseStream(stream, problem);
    else if (!onStream(stream, headers)) requests.emit("stream", stream, headers, ...rest);
  });
  const sessions = new Set<ServerHttp2Session>();
  /** Sessions whose peer has our settings: no other frame may be sent before those. */
  const settled = new Map<ServerHttp2Session, Socket>();
  // While peers are sent away: a proxy may replace the connection that it may no longer use.
  let announce: ((session: ServerHttp2Session, socket: Socket) => void) | undefined;
  const deadSessions = createDeadSessions();
  let connecting: Socket | undefined;
  h2.on("session", (session) => {
    const socket = connecting as Socket;
    sessions.add(session);
    deadSessions.watch(session, socket);
    const stopPings = keepAlive(session, socket);
    socket.on("close", stopPings);
    session.once("remoteSettings", () => tcp.settle(socket));
    session.once("localSettings", () => {
      settled.set(session, socket);
      announce?.(session, socket);
    });
    session.on("close", () => {
      sessions.delete(session);
      settled.delete(session);
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
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SEND_AWAY_MS);
    });
    const unconfirmed = new Set<Promise<void>>();
    announce = (session, socket) => {
      const confirmed = announceEnd(session, socket).finally(() => unconfirmed.delete(confirmed));
      unconfirmed.add(confirmed);
    };
    for (const [session, socket] of settled) announce(session, socket);
    const allConfirmed = async () => {
      while (unconfirmed.size > 0) await Promise.all(unconfirmed);
    };
    await Promise.race([allConfirmed(), late]);
    clearTimeout(timer);
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

/**
 * A GOAWAY frame that refuses no stream yet (RFC 9113, section 6.8): no error, the highest stream
 * identifier.
 */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/**
 * Sends a notice that the connection will close, and a ping after it. Once the ping is acknowledged,
 * every stream that the peer opened before it received the notice has arrived.
 *
 * The notice is written to the socket: after a GOAWAY of its own, the HTTP/2 library of Node no
 * longer reads a connection without streams, so it would neither serve the last streams of the peer
 * nor receive the acknowledgement. The library writes whole frames only, so the notice is between
 * two of them.
 */
async function announceEnd(session: ServerHttp2Session, socket: Socket): Promise<void> {
  if (session.destroyed || session.closed || socket.destroyed) return;
  socket.write(NOTICE);
  await new Promise<void>((resolve) => {
    session.once("close", resolve);
    if (!session.ping(() => resolve())) resolve();
  });
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
