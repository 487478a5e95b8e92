import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import type { BodyBudget } from "../limits/body-budget.ts";
import { NO_ROOM, PartialFrames } from "../limits/partial-frames.ts";
import { SocketWorker } from "./socket-worker.ts";
import type { WorkerDirectory } from "./worker-directory.ts";
import type { WorkerHost } from "./worker-session.ts";
import { startTimer } from "../timers/timers.ts";
import { LARGE_BODY_BYTES, largeBodyTurn } from "../timers/turns.ts";

/** Dependencies of the WebSocket endpoint. */
export interface SocketDoorOptions {
  readonly host: WorkerHost;
  readonly directory: WorkerDirectory;
  /** Frames that are not whole, or wait for their turn, are taken from it. */
  readonly bodies: BodyBudget;
  /** Logs a message about a worker for the operator. */
  readonly onOdd: (message: string) => void;
}

/** The WebSocket endpoint for workers with the protocol of the published `iii-sdk`. */
export interface SocketDoor {
  /** Opens the socket of a worker, whose caller is trusted. */
  accept(request: IncomingMessage, stream: Duplex, head: Buffer): void;
  /** Opens a socket whose frames are discarded: workers send telemetry there. */
  acceptAndIgnore(request: IncomingMessage, stream: Duplex, head: Buffer): void;
  /** Closes all sockets. */
  close(): void;
}

/**
 * Largest frame of a worker, in bytes. Larger than the payload limit, so an oversized payload gets
 * an error.
 */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;
const MAX_FRAGMENTS = 1024;
const MAX_BUFFERED_CHUNKS = 64 * 1024;
/** Close codes, as those of the bridge. */
const NO_SIGN_OF_LIFE = 4408;
const GOING_AWAY = 1001;
/** How long a closing handshake may take before the socket is terminated, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;
/**
 * The same for a socket that is read no more, in milliseconds: enough to send the close frame. Until
 * then ws holds what it has received, and no budget counts it.
 */
const UNREAD_CLOSE_TIMEOUT_MS = 100;

/** Starts the door. It listens to nothing itself. */
export function createSocketDoor({
  host,
  directory,
  bodies,
  onOdd,
}: SocketDoorOptions): SocketDoor {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_BYTES,
    maxFragments: MAX_FRAGMENTS,
    maxBufferedChunks: MAX_BUFFERED_CHUNKS,
  });
  const sockets = new Map<Duplex, WebSocket>();
  const partials = new PartialFrames<Duplex>(
    () => bodies,
    (stream, code, reason) => {
      const webSocket = sockets.get(stream);
      if (webSocket !== undefined) closeUnread(webSocket, code, reason);
    },
  );

  const keep = (webSocket: WebSocket, stream: Duplex) => {
    sockets.set(stream, webSocket);
    const onData = (chunk: Buffer) => {
      if (webSocket.readyState === webSocket.OPEN) partials.receive(stream, chunk);
      else partials.forget(stream);
    };
    stream.on("data", onData);
    webSocket.once("close", () => {
      sockets.delete(stream);
      stream.off("data", onData);
      partials.forget(stream);
    });
    // ws closes with the code of the error; the close event does the rest.
    webSocket.on("error", () => cutLater(webSocket));
    watchSilence(webSocket, host.limits.silenceMs);
  };

  return {
    accept(request, stream, head) {
      server.handleUpgrade(request, stream, head, (webSocket) => {
        keep(webSocket, stream);
        const worker = new SocketWorker({
          host,
          directory,
          onOdd,
          socket: {
            get bufferedBytes() {
              return webSocket.bufferedAmount;
            },
            send: (frame, taken) => webSocket.send(frame, { binary: false }, taken),
            pause: () => webSocket.pause(),
            resume: () => webSocket.resume(),
            close(code, reason) {
              webSocket.close(code, reason);
              cutLater(webSocket);
            },
          },
        });
        receiveInTurn(webSocket, bodies, (data) => {
          try {
            worker.receive(bytesOf(data));
          } catch (error) {
            // No message of a worker may crash the service.
            onOdd(`A worker sent what could not be handled: ${String(error)}`);
            webSocket.terminate();
          }
        });
        webSocket.once("close", () => worker.close());
      });
    },
    acceptAndIgnore(request, stream, head) {
      server.handleUpgrade(request, stream, head, (webSocket) => {
        keep(webSocket, stream);
        webSocket.on("message", () => {});
      });
    },
    close() {
      for (const webSocket of sockets.values()) {
        webSocket.close(GOING_AWAY, "the service is shutting down");
        cutLater(webSocket);
      }
    },
  };
}

/** Has frames received in order, of large ones one per turn of the event loop over all sockets. */
function receiveInTurn(
  webSocket: WebSocket,
  bodies: BodyBudget,
  receive: (data: RawData) => void,
): void {
  const waiting: RawData[] = [];
  let isWaiting = false;
  const receiveAll = async () => {
    isWaiting = true;
    for (let data = waiting[0]; data !== undefined; data = waiting[0]) {
      if (sizeOf(data) >= LARGE_BODY_BYTES) await largeBodyTurn();
      waiting.shift();
      bodies.give(sizeOf(data));
      if (webSocket.readyState !== webSocket.CLOSED) receive(data);
    }
    isWaiting = false;
  };
  webSocket.on("message", (data: RawData) => {
    if (!isWaiting && sizeOf(data) < LARGE_BODY_BYTES) return receive(data);
    try {
      bodies.take(sizeOf(data));
    } catch {
      return closeUnread(
        webSocket,
        NO_ROOM,
        "the service is at its limit of request bytes in memory",
      );
    }
    waiting.push(data);
    if (!isWaiting) void receiveAll();
  });
}

/** Closes a socket and reads no more of it. */
function closeUnread(webSocket: WebSocket, code: number, reason: string): void {
  webSocket.close(code, reason);
  webSocket.pause();
  cutLater(webSocket, UNREAD_CLOSE_TIMEOUT_MS);
}

function sizeOf(data: RawData): number {
  return Array.isArray(data)
    ? data.reduce((sum, part) => sum + part.byteLength, 0)
    : data.byteLength;
}

/** Closes a silent socket. Any frame proves that the worker is alive. */
function watchSilence(webSocket: WebSocket, silenceMs: number): void {
  const timer = startTimer(silenceMs, () => {
    webSocket.close(NO_SIGN_OF_LIFE, "no sign of life");
    cutLater(webSocket);
  }).unref();
  const onFrame = () => timer.refresh();
  for (const kind of ["message", "ping", "pong"] as const) webSocket.on(kind, onFrame);
  webSocket.once("close", () => timer.cancel());
}

function cutLater(webSocket: WebSocket, timeoutMs = CLOSE_TIMEOUT_MS): void {
  const timer = setTimeout(() => webSocket.terminate(), timeoutMs);
  webSocket.once("close", () => clearTimeout(timer));
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
