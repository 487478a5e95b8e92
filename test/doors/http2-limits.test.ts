import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import {
  FRAME,
  frame,
  headerBlock,
  headerFrames,
  openFrames,
} from "../support/doors/http2-frames.ts";
import { rawHttp2 } from "../support/doors/raw-http.ts";
import { pathOf } from "../support/doors/raw-protocol.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { utf8 } from "../wire/request/raw-wire.ts";

let server: TestServer;
beforeAll(async () => (server = await startServer()));
afterAll(() => server.close());

/** The time in which the service must act, in milliseconds. */
const PROMPT_MS = 3000;
/** Identifier of a setting. */
const INITIAL_WINDOW_SIZE = 4;
const MAX_WINDOW = 2 ** 31 - 1;
const REQUEST = [
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "localhost"],
  [":path", pathOf("get")],
  ["content-type", "application/grpc"],
] as const;
const large = (bytes: number) => headerBlock([...REQUEST, ["x", "y".repeat(bytes)]]);
const many = (count: number, bytes: number) =>
  headerBlock([
    ...REQUEST,
    ...Array.from({ length: count }, (_, at) => [`x${at}`, "y".repeat(bytes)] as const),
  ]);
const flood = (fragment: Uint8Array) =>
  Buffer.concat([
    frame(FRAME.headers, 0, 1, headerBlock(REQUEST)),
    ...Array.from({ length: 10_000 }, () => frame(FRAME.continuation, 0, 1, fragment)),
  ]);
const dial = async (test: Pick<TestContext, "onTestFinished">) => {
  const connection = await openFrames(server.port);
  test.onTestFinished(() => void connection.socket.destroy());
  return connection;
};
const prompt = <T>(work: Promise<T>) => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it took too long")), PROMPT_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

describe("an HTTP/2 connection", () => {
  it.concurrent.for([
    ["a header of 200 kB", headerFrames(large(200_000))],
    ["a header of 100 kB", headerFrames(large(100_000))],
    ["an unfinished header of 200 kB", headerFrames(large(200_000), { isEnded: false })],
    ["headers of 200 kB in total", headerFrames(many(200, 1000))],
    ["endless empty CONTINUATION frames", flood(Buffer.alloc(0))],
    ["endless CONTINUATION frames with a header each", flood(headerBlock([["x", "y"]]))],
    ["a frame beyond the size limit", frame(FRAME.data, 0, 1, Buffer.alloc(20_000))],
    ["undecodable headers", frame(FRAME.headers, 5, 1, Buffer.from([0xff, 0xff]))],
  ] as const)("that sends %s gets GOAWAY and is closed; others are served", async (sent, test) => {
    const [, bytes] = sent;
    const other = rawHttp2(server.url);
    test.onTestFinished(() => other.close());
    const connection = await dial(test);
    connection.socket.write(bytes);
    await prompt(connection.closed);
    expect(connection.frames.map(({ type }) => type)).toContain(FRAME.goaway);
    const get = { path: pathOf("get"), headers: { "content-type": "application/json" } };
    const body = utf8('{"streamName":"s","groupId":"g","itemId":"i"}');
    expect(await other.request({ ...get, body })).toMatchObject({ status: 200 });
  });

  it("that sends too many headers has only its stream reset", async (test) => {
    const connection = await dial(test);
    connection.socket.write(headerFrames(many(200, 1)));
    await expect
      .poll(() => connection.frames)
      .toContainEqual(expect.objectContaining({ type: FRAME.rstStream, stream: 1 }));
    connection.socket.write(frame(FRAME.ping, 0, 0, Buffer.alloc(8, 7)));
    await expect
      .poll(() => connection.frames)
      .toContainEqual(expect.objectContaining({ type: FRAME.ping, payload: Buffer.alloc(8, 7) }));
  });

  it("that falls silent is probed once, and not again without traffic", async (test) => {
    const connection = await dial(test);
    const pings = () => connection.frames.filter(({ type }) => type === FRAME.ping);
    await expect.poll(pings, { timeout: PROMPT_MS }).toHaveLength(1);
    connection.socket.write(frame(FRAME.ping, 1, 0, pings()[0]?.payload ?? Buffer.alloc(8)));
    await new Promise((resolve) => void setTimeout(resolve, 2000));
    expect(pings()).toHaveLength(1);
  });

  it("whose peer pauses reading stays open, and sends its responses later", async (test) => {
    const item = { streamName: "s", groupId: "large", itemId: "i" };
    await server.service.set({ ...item, data: "x".repeat(900_000) });
    const { socket, frames } = await dial(test);
    const window = Buffer.alloc(6);
    window.writeUInt16BE(INITIAL_WINDOW_SIZE);
    window.writeUInt32BE(MAX_WINDOW, 2);
    const more = Buffer.alloc(4);
    more.writeUInt32BE(MAX_WINDOW - 65_535);
    socket.write(frame(FRAME.settings, 0, 0, window));
    socket.write(frame(FRAME.windowUpdate, 0, 0, more));
    const json = headerBlock([...REQUEST.slice(0, -1), ["content-type", "application/json"]]);
    const streams = Array.from({ length: 30 }, (_, at) => 2 * at + 1);
    socket.pause();
    for (const stream of streams) {
      socket.write(frame(FRAME.headers, 4, stream, json));
      socket.write(frame(FRAME.data, 1, stream, utf8(JSON.stringify(item))));
    }
    await new Promise((resolve) => void setTimeout(resolve, 2000));
    expect(socket.bytesRead).toBeLessThan(20_000_000);
    socket.resume();
    const ended = () =>
      frames.filter(({ type, flags }) => type === FRAME.data && (flags & 1) === 1).length;
    await expect.poll(ended, { timeout: PROMPT_MS }).toBe(streams.length);
  });
});
