import { type ClientHttp2Stream, connect, constants } from "node:http2";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { type Server, createServer } from "millrace/server";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { BodyBudget } from "../../src/limits/body-budget.ts";
import { EnvelopeSplitter } from "../../src/rpc/envelope.ts";
import { createRequestReader } from "../../src/rpc/framework/request-reader.ts";
import { enveloped } from "../support/doors/h2-call.ts";

const REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const WORKER = "/millrace.v1.WorkerService/Connect";
const CHECK = "/grpc.health.v1.Health/Check";
const WATCH = "/grpc.health.v1.Health/Watch";
const [SET, GET, SUBSCRIBE, WRITE] = ["Set", "Get", "Subscribe", "Write"].map(
  (name) => `/millrace.v1.StreamService/${name}`,
) as [string, string, string, string];

/** A message with an unknown field, which decoders skip, of 10,000 bytes. */
const BINARY = Buffer.concat([Buffer.from([0xfa, 0x7f, 0x90, 0x4e]), Buffer.alloc(10_000)]);
const JSON_TEXT = Buffer.from(`{${" ".repeat(10_000)}}`);

const METHODS = [
  ["gRPC", SET, "application/grpc"],
  ["gRPC", GET, "application/grpc"],
  ["gRPC", SUBSCRIBE, "application/grpc"],
  ["gRPC", WRITE, "application/grpc"],
  ["gRPC", WORKER, "application/grpc"],
  ["gRPC", REFLECTION, "application/grpc"],
  ["gRPC", CHECK, "application/grpc"],
  ["gRPC", WATCH, "application/grpc"],
  ["gRPC with JSON", SET, "application/grpc+json"],
  ["gRPC with JSON", SUBSCRIBE, "application/grpc+json"],
  ["gRPC with JSON", WRITE, "application/grpc+json"],
  ["gRPC with JSON", WORKER, "application/grpc+json"],
  ["gRPC with JSON", REFLECTION, "application/grpc+json"],
  ["gRPC-Web", SET, "application/grpc-web"],
  ["gRPC-Web", SUBSCRIBE, "application/grpc-web"],
  ["gRPC-Web", REFLECTION, "application/grpc-web"],
  ["Connect", SET, "application/json"],
  ["Connect", SET, "application/proto"],
  ["Connect", CHECK, "application/json"],
  ["Connect", SUBSCRIBE, "application/connect+json"],
  ["Connect", WRITE, "application/connect+json"],
  ["Connect", WORKER, "application/connect+json"],
  ["Connect", REFLECTION, "application/connect+json"],
  ["Connect", REFLECTION, "application/connect+proto"],
] as const;

const ENDINGS = [
  "its stream is reset",
  "its connection is destroyed",
  "its deadline passes",
  "it is cut short",
  "it is completed",
  "it turns out to be too large",
] as const;
const POLL = { interval: 5, timeout: 5000 };

let server: Server;
const budgets = new Set<BodyBudget>();
/** Most bytes held at the same time. */
let peakBytes = 0;
const heldBytes = () => Array.from(budgets).reduce((sum, budget) => sum + budget.heldBytes, 0);
beforeAll(async () => {
  const take = BodyBudget.prototype.take;
  vi.spyOn(BodyBudget.prototype, "take").mockImplementation(function (this: BodyBudget, ...bytes) {
    budgets.add(this);
    take.apply(this, bytes);
    peakBytes = Math.max(peakBytes, heldBytes());
  });
  server = await createServer({ port: 0, store: { kind: "in_memory" } });
});
afterAll(async () => {
  await server.close();
  vi.restoreAllMocks();
});

/** Opens a connection. @param initialWindowSize Bytes of each response that it accepts. */
async function open(initialWindowSize = 65_535) {
  const session = connect(server.url, { settings: { initialWindowSize } });
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  // The server must have the settings before a call is made.
  await new Promise<void>((resolve) => session.once("localSettings", () => resolve()));
  return session;
}

function begin(
  session: Awaited<ReturnType<typeof open>>,
  path: string,
  type: string,
  more = {},
): ClientHttp2Stream {
  const headers = { "content-type": type, te: "trailers", ...more };
  const stream = session.request({ ":method": "POST", ":path": path, ...headers });
  stream.on("error", () => {});
  return stream.resume();
}

it.each(METHODS)(
  "a body over %s to %s as %s is released, however it ends",
  async (_protocol, path, type) => {
    const isRaw = type === "application/json" || type === "application/proto";
    const message = type.endsWith("json") ? JSON_TEXT : BINARY;
    const body = isRaw ? message : enveloped(message);
    const timeout = type.startsWith("application/grpc")
      ? { "grpc-timeout": "300m" }
      : { "connect-timeout-ms": "300" };
    const sessions = await Promise.all(ENDINGS.map(() => open()));
    peakBytes = 0;
    const calls = sessions.map((session, i) => {
      const ending = ENDINGS[i];
      const stream = begin(session, path, type, ending === "its deadline passes" ? timeout : {});
      stream.write(body.subarray(0, 5000));
      return { session, stream, ending };
    });
    await expect.poll(() => peakBytes, POLL).toBeGreaterThanOrEqual(ENDINGS.length * 5000);
    for (const { session, stream, ending } of calls) {
      if (ending === "its stream is reset") stream.close(constants.NGHTTP2_CANCEL);
      else if (ending === "its connection is destroyed") session.destroy();
      else if (ending === "it is cut short") stream.end();
      else if (ending === "it is completed") stream.end(body.subarray(5000));
      else if (ending === "it turns out to be too large")
        stream.write(Buffer.concat([body.subarray(5000), Buffer.alloc(4 * 1024 * 1024, 0xff)]));
    }
    await expect.poll(heldBytes, POLL).toBe(0);
  },
);

describe("a stream whose client does not read", () => {
  const symbolRequest = enveloped(
    toBinary(
      ServerReflectionRequestSchema,
      create(ServerReflectionRequestSchema, {
        messageRequest: { case: "fileContainingSymbol", value: "millrace.v1.StreamService" },
      }),
    ),
  );
  it.each([
    ["reset", "application/grpc", {}, symbolRequest],
    ["destroyed with its connection", "application/grpc", {}, symbolRequest],
    [
      "destroyed with its connection",
      "application/grpc",
      { "grpc-encoding": "gzip" },
      enveloped(gzipSync(symbolRequest.subarray(5)), 1),
    ],
    ["destroyed with its connection", "application/grpc-web", {}, symbolRequest],
    ["past its deadline", "application/grpc", { "grpc-timeout": "500m" }, symbolRequest],
  ])("releases its bytes when it is %s, as %s %j", async (ending, type, more, whole) => {
    const session = await open(0);
    const begun = enveloped(Buffer.alloc(16_000)).subarray(0, 15_900);
    const streams = Array.from({ length: 20 }, () => {
      const stream = begin(session, REFLECTION, type, more);
      stream.write(Buffer.concat([...Array.from({ length: 10 }, () => whole), begun]));
      return stream;
    });
    await expect.poll(heldBytes, POLL).toBeGreaterThan(20 * 10_000);
    if (ending === "reset") for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
    else if (ending.startsWith("destroyed")) session.destroy();
    await expect.poll(heldBytes, POLL).toBe(0);
  });
});

it("a late message is released and refused while its consumer waits", async () => {
  const push = vi.spyOn(EnvelopeSplitter.prototype, "push");
  onTestFinished(() => push.mockRestore());
  const budget = new BodyBudget();
  const reader = createRequestReader(ServerReflection.method.serverReflectionInfo, budget);
  const whole = enveloped(Buffer.from("a"));
  async function* body() {
    yield Buffer.concat([whole, whole, enveloped(Buffer.alloc(100)).subarray(0, 50)]);
    await new Promise(() => {});
  }
  const request = {
    httpVersion: "2.0",
    method: "POST",
    url: "http://localhost/",
    header: new Headers(),
    body: body(),
    signal: new AbortController().signal,
  };
  const format = { protocol: "grpc", framing: "envelopes", json: false } as const;
  const messages = reader
    .many(request, { ...format, compression: undefined })
    [Symbol.asyncIterator]();
  expect((await messages.next()).done).toBe(false);
  expect(budget.heldBytes).toBeGreaterThan(0);
  (push.mock.contexts[0] as EnvelopeSplitter).late();
  expect(budget.heldBytes).toBe(0);
  await expect(messages.next()).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
});
