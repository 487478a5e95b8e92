import type { Socket } from "node:net";
import type { StreamError } from "../../core/errors.ts";
import type { CallerLimiter } from "../../limits/caller-limiter.ts";
import { retryAfterSeconds } from "../../limits/refusals.ts";

/**
 * Counts an accepted connection.
 *
 * @returns Releases it: to be called once, when the connection has closed. Undefined for a
 *   connection that is not counted.
 * @throws StreamError when it may not be served.
 */
export type ConnectionAdmission = (socket: Socket) => (() => void) | undefined;

/** First bytes of an HTTP/2 connection. */
const HTTP2 = "PRI";
/** How long a refused client may take to show its protocol, in milliseconds. */
const SNIFF_TIMEOUT_MS = 1000;
/** Most refused connections that receive a reason at a time; more are cut without one. */
const MAX_EXPLAINED = 100;

/** Enforces the connection limit of each address. */
export function connectionAdmission(limiter: CallerLimiter): ConnectionAdmission {
  return (socket) => limiter.openConnection(socket.remoteAddress);
}

/** Closes connections that may not be served. */
export function connectionRefuser(): (socket: Socket, error: StreamError) => void {
  let explained = 0;
  return (socket, error) => {
    socket.on("error", () => socket.destroy());
    if (explained >= MAX_EXPLAINED) {
      socket.destroy();
      return;
    }
    explained++;
    socket.once("close", () => explained--);
    explain(socket, error);
  };
}

/** Sends a client the reason for the refusal, in its own protocol. */
function explain(socket: Socket, error: StreamError): void {
  const timer = setTimeout(() => socket.destroy(), SNIFF_TIMEOUT_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.once("data", (chunk: Buffer) => {
    // Its further data is discarded: unread data would reset the connection before the client has
    // read the reason.
    socket.resume();
    const isHttp2 = chunk.toString("latin1", 0, HTTP2.length) === HTTP2;
    socket.end(isHttp2 ? goAway(error) : tooManyRequests(error));
  });
}

/** An HTTP/1.1 response. */
function tooManyRequests(error: StreamError): string {
  const body = `${error.message}\n`;
  return (
    "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n" +
    `Retry-After: ${retryAfterSeconds(error) ?? 1}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

const SETTINGS = 4;
const GOAWAY = 7;
const ENHANCE_YOUR_CALM = 0xb;
const FRAME_HEADER_BYTES = 9;

/** The frames of an HTTP/2 server that serves nothing: SETTINGS, and a GOAWAY with the reason. */
function goAway({ reason }: StreamError): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(ENHANCE_YOUR_CALM, 4);
  return Buffer.concat([
    http2Frame(SETTINGS, Buffer.alloc(0)),
    http2Frame(GOAWAY, Buffer.concat([payload, Buffer.from(reason)])),
  ]);
}

function http2Frame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUIntBE(payload.byteLength, 0, 3);
  header[3] = type;
  return Buffer.concat([header, payload]);
}
