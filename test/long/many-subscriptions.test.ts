import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import { SubscribeRequestSchema } from "millrace/v1";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { type ChildServer, startChild } from "../support/long/child-server.ts";
import { LONG } from "../support/long/violations.ts";

/* Subscriptions that begin and end over lasting connections: none of their resources may leak. */

const SCRIPT = fileURLToPath(new URL("../support/long/held-child.mjs", import.meta.url));
/** Number of subscriptions over gRPC; the same number uses WebSockets. */
const SUBSCRIPTIONS = LONG ? 10_000 : 200;
/** Subscriptions before the first sample, so that all code is loaded and all buffers are sized. */
const WARM_UP = LONG ? 2000 : 100;
/**
 * Subscriptions that end by RST_STREAM in each run; the others end by their deadlines. nghttp2 ends
 * a connection that resets more than 1,000 streams in a burst.
 */
const CANCELLED = LONG ? 400 : 50;
/** Concurrent calls over the gRPC connection. */
const AT_ONCE = 200;
const DEADLINE = "100m";
/** WebSockets that stay open; and subscriptions of each WebSocket that closes with them. */
const LASTING_SOCKETS = 10;
const PER_SOCKET = 20;
/** Number of samples: one garbage collection does not free everything. */
const SAMPLES = LONG ? 10 : 4;
/** Largest growth of the heap in bytes. The heap of an idle process varies by less. */
const MAX_GROWTH = 1024 * 1024;

/** What the process of the server holds. */
interface Held {
  readonly heapUsed: number;
  readonly listeners: number;
  readonly resources: readonly string[];
}

const GROUPS = Array.from({ length: 7 }, (_, i) => `g${i}`);
const groupOf = (i: number) => GROUPS[i % GROUPS.length] ?? "";

function envelopeFor(groupId: string): Buffer {
  const request = create(SubscribeRequestSchema, { streamName: "s", groupId });
  const bytes = toBinary(SubscribeRequestSchema, request);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Makes subscriptions over one HTTP/2 connection. Resolves when all have ended. */
async function subscribeOverGrpc(session: ClientHttp2Session, count: number) {
  let next = 0;
  const one = async () => {
    for (let i = next++; i < count; i = next++) {
      const isCancelled = i < CANCELLED;
      const stream = session.request({
        ":method": "POST",
        ":path": "/millrace.v1.StreamService/Subscribe",
        "content-type": "application/grpc+proto",
        te: "trailers",
        ...(isCancelled ? {} : { "grpc-timeout": DEADLINE }),
      });
      let status: unknown;
      stream.on("trailers", (trailers) => (status = trailers["grpc-status"]));
      const closed = once(stream, "close");
      stream.end(envelopeFor(groupOf(i)));
      await once(stream, "data");
      if (isCancelled) stream.close();
      else stream.resume();
      await closed;
      if (!isCancelled) expect(status).toBe("4");
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

/** Joins and leaves on one socket, one after the other. */
async function subscribeOn(socket: WebSocket, first: number, count: number) {
  for (let i = first; i < first + count; i++) {
    const data = { subscriptionId: `s${i}`, streamName: "s", groupId: groupOf(i) };
    const synced = once(socket, "message") as Promise<[Buffer]>;
    socket.send(JSON.stringify({ type: "join", data }));
    expect(String((await synced)[0])).toContain('"sync"');
    socket.send(JSON.stringify({ type: "leave", data }));
  }
}

async function openSocket(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url.replace("http", "ws"));
  await once(socket, "open");
  return socket;
}

/** Makes half of the subscriptions on lasting sockets, half on sockets that close with them. */
async function subscribeOverWebSockets(url: string, lasting: readonly WebSocket[], count: number) {
  const each = Math.ceil(count / 2 / lasting.length);
  await Promise.all(lasting.map((socket, i) => subscribeOn(socket, i * each, each)));
  for (let made = count / 2; made < count; made += PER_SOCKET) {
    const socket = await openSocket(url);
    let syncs = 0;
    const synced = new Promise<void>((resolve) => {
      socket.on("message", () => {
        if (++syncs === PER_SOCKET) resolve();
      });
    });
    for (let i = made; i < made + PER_SOCKET; i++) {
      const data = { subscriptionId: `s${i}`, streamName: "s", groupId: groupOf(i) };
      socket.send(JSON.stringify({ type: "join", data }));
    }
    await synced;
    const closed = once(socket, "close");
    socket.close();
    await closed;
  }
}

/** The minimum of several samples. */
async function heldBy(server: ChildServer): Promise<Held> {
  let least = (await server.collect()) as unknown as Held;
  for (let taken = 1; taken < SAMPLES; taken++) {
    const held = (await server.collect()) as unknown as Held;
    if (held.listeners <= least.listeners && held.heapUsed < least.heapUsed) least = held;
  }
  return least;
}

test(
  `${SUBSCRIPTIONS} subscriptions over one gRPC connection and as many over WebSockets leave no listeners, timers or memory`,
  async () => {
    const options = { port: 0, store: { kind: "in_memory" } };
    const server = await startChild(options, { flags: ["--expose-gc"], script: SCRIPT });
    onTestFinished(() => server.kill());
    const session = connectHttp2(server.url);
    session.setMaxListeners(0);
    onTestFinished(() => session.destroy());
    const lasting = await Promise.all(
      Array.from({ length: LASTING_SOCKETS }, () => openSocket(server.url)),
    );
    onTestFinished(() => {
      for (const socket of lasting) socket.terminate();
    });
    await subscribeOverGrpc(session, WARM_UP);
    await subscribeOverWebSockets(server.url, lasting, WARM_UP);
    const before = await heldBy(server);
    await subscribeOverGrpc(session, SUBSCRIPTIONS);
    await subscribeOverWebSockets(server.url, lasting, SUBSCRIPTIONS);
    const after = await heldBy(server);
    const grown = after.heapUsed - before.heapUsed;
    console.info(
      `many subscriptions: ${2 * SUBSCRIPTIONS} ended; the heap is ${Math.round(before.heapUsed / 1024)} KiB before and ${Math.round(after.heapUsed / 1024)} KiB after; ${before.listeners} and ${after.listeners} listeners; ${before.resources.length} and ${after.resources.length} resources`,
    );
    expect(after.listeners).toBeLessThanOrEqual(before.listeners);
    expect(after.resources).toEqual(before.resources);
    expect(grown).toBeLessThan(MAX_GROWTH);
  },
  LONG ? 300_000 : 60_000,
);
