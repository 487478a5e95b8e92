import type { IncomingMessage, ServerResponse } from "node:http";
import {
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  constants,
  createServer as createHttp2,
} from "node:http2";
import type { Socket } from "node:net";
import { letGo } from "../../rpc/fast-path/grpc-response.ts";
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
/** Answers a request. */
export type RequestListener = (request: Request, response: Response) => void;
/** Takes an HTTP/2 stream before a request is made of it. @returns false when it is not its own. */
export type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

/** Who answers what comes to a port. */
export interface PortListeners extends PortLimits {
  readonly onRequest: RequestListener;
  readonly onStream: StreamListener;
  readonly onUpgrade: UpgradeListener;
}

/** An open port that speaks HTTP/1.1 and HTTP/2 (prior knowledge). */
export interface Listener {
  readonly host: string;
  /** The port; the one chosen when 0 was asked for. */
  readonly port: number;
  /** From now on each response over HTTP/1.1 closes its connection, so that the next call uses another one. */
  closeAfterResponses(): void;
  /**
   * Has peers open no more streams on the connections of HTTP/2. Those that they opened before are served.
   * Resolves when every peer knows, after a second at most.
   */
  sendAway(): Promise<void>;
  /**
   * Accepts no more connections and requests, waits for what is under way, and cuts what is left after
   * the grace. Idempotent.
   */
  close(graceMs: number): Promise<void>;
}

/** How long peers may take to learn that the server is about to go, in milliseconds. */
const SEND_AWAY_MS = 1000;
/** Largest identifier of a stream. */
const MAX_STREAM_ID = 2 ** 31 - 1;
/** How often a connection is asked for a sign of life, in milliseconds; two missed answers end it. */
const PING_INTERVAL_MS = 30_000;
/**
 * Memory of one HTTP/2 connection beyond which Node refuses new streams, in megabytes: as much as all
 * streams can hold, which is a message each. At Node's default of 10, a few subscribers that read
 * slowly would keep every other call from their connection.
 */
const MAX_SESSION_MEMORY_MB = 4 * MAX_TRUSTED_STREAMS;

const HTTP2_OPTIONS = {
  settings: { maxConcurrentStreams: MAX_STREAMS },
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
  // Never listens: it makes requests of the streams that nobody took before.
  const requests = createHttp2(HTTP2_OPTIONS, onRequest);
  h2.on("stream", (stream, headers, ...rest) => {
    const problem = hostProblem(headers);
    if (problem !== undefined) refuseStream(stream, problem);
    else if (!onStream(stream, headers)) requests.emit("stream", stream, headers, ...rest);
  });
  const sessions = new Set<ServerHttp2Session>();
  const deadSessions = createDeadSessions();
  let connecting: Socket | undefined;
  h2.on("session", (session) => {
    const socket = connecting as Socket;
    sessions.add(session);
    deadSessions.watch(session, socket);
    const stopPings = keepAlive(session, socket);
    socket.on("close", stopPings);
    session.once("remoteSettings", () => tcp.settle(socket));
    session.on("close", () => sessions.delete(session));
    session.on("error", () => session.destroy());
  });
  const tcp = await openTcpPort(
    host,
    port,
    {
      http1: h1,
      // A session is made while its connection is handed over; it does not give its socket away later.
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
    await Promise.race([Promise.all(Array.from(sessions, announceEnd)), late]);
    clearTimeout(timer);
  };
  let closed: Promise<void> | undefined;
  const close = async (graceMs: number) => {
    const gone = tcp.close(graceMs);
    // GOAWAY: streams under way finish, then the connection goes.
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
  letGo(stream);
}

/**
 * Sends a GOAWAY that refuses no stream yet. Whatever the peer sent before it received that has arrived when
 * it has answered the ping behind it.
 */
async function announceEnd(session: ServerHttp2Session): Promise<void> {
  if (session.destroyed || session.closed) return;
  session.goaway(constants.NGHTTP2_NO_ERROR, MAX_STREAM_ID);
  await new Promise<void>((resolve) => {
    session.once("close", resolve);
    if (!session.ping(() => resolve())) resolve();
  });
}

/** Finds connections whose peer is gone without a word. */
function keepAlive(session: ServerHttp2Session, socket: Socket): () => void {
  let missed = 0;
  const timer = setInterval(() => {
    // After a GOAWAY the session is gone, but the peer may hold the connection open for good.
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
