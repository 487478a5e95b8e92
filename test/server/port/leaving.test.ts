import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectH2 } from "node:http2";
import { type Socket, connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Server, createServer } from "millrace/server";
import { enveloped, openH2 } from "../../support/doors/h2-call.ts";
import {
  FRAME,
  type Frame,
  frame,
  headerBlock,
  headerFrames,
  openFrames,
} from "../../support/doors/http2-frames.ts";

/*
 * The end of a drain delay: the port closes, peers over HTTP/2 are notified, and whatever arrives on
 * the connections that exist is served before calls are refused.
 */

/** A server that continues to serve until `end` is called. */
async function drainingServer(): Promise<{ server: Server; end: () => void }> {
  const server = await createServer({
    port: 0,
    store: { kind: "in_memory" },
    drainDelayMs: 60_000,
  });
  const end = () => void server.close({ drainDelayMs: 0 });
  onTestFinished(() => server.close({ drainDelayMs: 0 }));
  return { server, end };
}

/** Connects without sending anything, once the server has accepted it. */
async function connectTo({ port }: Server): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Resolves once the port refuses connections. */
async function refusesConnections({ port }: Server): Promise<void> {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") return;
    }
    socket.destroy();
  }
}

/** An HTTP/2 client over a connection that exists. */
function clientOver(socket: Socket, { url }: Server): ClientHttp2Session {
  const session = connectH2(url, { createConnection: () => socket });
  onTestFinished(() => session.destroy());
  session.on("error", () => {});
  return session;
}

/** Resolves once the server has received what was sent before. */
async function pong(session: ClientHttp2Session): Promise<void> {
  await new Promise<void>((resolve) => session.ping(() => resolve()));
}

function begin(session: ClientHttp2Session): ClientHttp2Stream {
  return session.request({
    ":method": "POST",
    ":path": "/millrace.v1.StreamService/Set",
    "content-type": "application/grpc",
    te: "trailers",
  });
}

/** `stream_name: "s"`, `group_id: "g"`, `item_id: "i"`, `data: null`. */
const SET = enveloped(Buffer.from([0x0a, 1, 0x73, 0x12, 1, 0x67, 0x1a, 1, 0x69, 0x22, 2, 8, 0]));

/** The gRPC status of a call, or the code of its stream's error. */
async function statusOf(stream: ClientHttp2Stream): Promise<unknown> {
  let status: unknown;
  const take = (headers: Record<string, unknown>) => (status = headers["grpc-status"] ?? status);
  stream.on("response", take).on("trailers", take).resume();
  stream.on("error", (error: NodeJS.ErrnoException) => (status ??= error.message));
  await once(stream, "close").catch(() => {});
  return status;
}

const SETTINGS_ACK = frame(FRAME.settings, 1, 0, Buffer.alloc(0));

/** A client that acknowledges the settings of the server, but no ping. */
async function openMute({ port }: Server): Promise<Socket> {
  const { socket, frames } = await openFrames(port);
  onTestFinished(() => void socket.destroy());
  await expect.poll(() => frames.length).toBeGreaterThan(0);
  await new Promise((resolve) => socket.write(SETTINGS_ACK, resolve));
  return socket;
}

const typesOf = (frames: readonly Frame[], of: number) =>
  frames.filter(({ stream }) => stream === of).map(({ type }) => type);

describe("a port at the end of the drain delay", () => {
  it("refuses connections while it waits for the confirmations of its peers", async () => {
    const { server, end } = await drainingServer();
    const mute = await openMute(server);
    const session = openH2(server.url);
    onTestFinished(() => session.destroy());
    await once(session, "connect");
    const notified = once(session, "goaway");
    end();
    const [code, lastStream] = await notified;
    expect([code, lastStream]).toEqual([0, 2 ** 31 - 1]);
    const late = connect(server.port, "127.0.0.1");
    await expect(once(late, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    mute.destroy();
  });

  it("serves the streams of a connection that shows its protocol only then", async () => {
    const { server, end } = await drainingServer();
    const socket = await connectTo(server);
    end();
    await refusesConnections(server);
    const session = clientOver(socket, server);
    const notified = once(session, "goaway");
    const streams = Array.from({ length: 20 }, () => begin(session).end(SET));
    expect(new Set(await Promise.all(streams.map(statusOf)))).toEqual(new Set(["0"]));
    const [code, lastStream] = await notified;
    expect([code, lastStream]).toEqual([0, 2 ** 31 - 1]);
  });

  it("serves the streams of a connection whose peer has not acknowledged the settings before", async () => {
    const { server, end } = await drainingServer();
    const { socket, frames } = await openFrames(server.port);
    onTestFinished(() => void socket.destroy());
    await expect.poll(() => frames.length).toBeGreaterThan(0);
    end();
    await refusesConnections(server);
    const head = headerBlock([
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/healthz"],
      [":authority", "a"],
    ]);
    socket.write(Buffer.concat([SETTINGS_ACK, headerFrames(head)]));
    await expect.poll(() => typesOf(frames, 1)).toContain(FRAME.headers);
    expect(typesOf(frames, 1)).not.toContain(FRAME.rstStream);
    // After the notice.
    expect(typesOf(frames, 0)).toContain(FRAME.goaway);
    socket.destroy();
  });

  it("serves a gRPC call whose message arrives after the notice", async () => {
    const { server, end } = await drainingServer();
    void server.close();
    const session = openH2(server.url);
    onTestFinished(() => session.destroy());
    await once(session, "connect");
    const stream = begin(session);
    stream.write(SET.subarray(0, 5));
    await pong(session);
    const notified = once(session, "goaway");
    end();
    await notified;
    // It has acknowledged the ping of the notice before.
    await pong(session);
    stream.end(SET.subarray(5));
    expect(await statusOf(stream)).toBe("0");
  });

  it("serves a call over HTTP/1.1 whose body arrives after the port has closed", async () => {
    const { server, end } = await drainingServer();
    void server.close();
    const call = callOver1(server, { expect: "100-continue" });
    call.flushHeaders();
    await once(call, "continue");
    end();
    await refusesConnections(server);
    expect(await outcomeOf(call)).toEqual([200, "close"]);
  });

  it("serves a call over HTTP/1.1 on a connection that has sent nothing before", async () => {
    const { server, end } = await drainingServer();
    const socket = await connectTo(server);
    end();
    await refusesConnections(server);
    const call = callOver1(server, {}, { createConnection: () => socket });
    expect(await outcomeOf(call)).toEqual([200, "close"]);
  });

  it("serves every connection that the system holds when it closes", async () => {
    const { server, end } = await drainingServer();
    const sockets = Array.from({ length: 20 }, () => connect(server.port, "127.0.0.1"));
    // Now the system has made the connections, and the server has not had a turn to accept them.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    end();
    const calls = sockets.map((socket) =>
      outcomeOf(callOver1(server, {}, { createConnection: () => socket })),
    );
    expect(await Promise.all(calls)).toEqual(sockets.map(() => [200, "close"]));
  });
});

const BODY = JSON.stringify({ streamName: "s", groupId: "g", itemId: "i", data: 1 });

/** A call of Set without its body. */
function callOver1({ url }: Server, headers = {}, options: RequestOptions = {}): ClientRequest {
  return request(`${url}/millrace.v1.StreamService/Set`, {
    method: "POST",
    headers: { "content-type": "application/json", "content-length": BODY.length, ...headers },
    ...options,
  });
}

/** Sends the body. @returns the status of the response and its `connection`, or the error's code. */
async function outcomeOf(call: ClientRequest): Promise<unknown> {
  call.end(BODY);
  try {
    const [response] = (await once(call, "response")) as [IncomingMessage];
    response.resume();
    return [response.statusCode, response.headers.connection];
  } catch (error) {
    return [(error as NodeJS.ErrnoException).code];
  }
}
