import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  connect,
  constants,
} from "node:http2";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import {
  SetRequestSchema,
  SetResponseSchema,
  SubscribeRequestSchema,
  WriteRequestSchema,
  WriteResponseSchema,
} from "millrace/v1";
import { type Server, createServer } from "millrace/server";
import { MAX_REQUEST_BYTES } from "../../../src/rpc/envelope.ts";
import { envelope, envelopes, pathOf, statusInfos } from "../../support/doors/raw-protocol.ts";

/**
 * gRPC on the wire, in its edge cases: the fast path and the framework path, which handles calls
 * that name a compression, must behave alike.
 */
const PATHS: readonly (readonly [name: string, headers: Readonly<Record<string, string>>])[] = [
  ["on the fast path", {}],
  ["on the framework path", { "grpc-encoding": "gzip" }],
];

const STATUS = { ok: "0", invalid: "3", late: "4", unauthenticated: "16", unavailable: "14" };

let server: Server;
const left: string[] = [];
beforeAll(async () => {
  server = await createServer({ port: 0, store: { kind: "in_memory" } });
  await server.service.registerFunction("left", (payload) => {
    left.push((payload as { group_id: string }).group_id);
  });
  await server.service.registerTrigger({
    type: "stream:leave",
    function_id: "left",
    config: { stream_name: "s" },
  });
});
afterAll(async () => server?.close());

/** A call on the wire. */
interface Call {
  readonly stream: ClientHttp2Stream;
  /** The messages of the response, once it has ended. */
  readonly messages: Promise<Buffer[]>;
  readonly headers: () => IncomingHttpHeaders;
  readonly trailers: () => IncomingHttpHeaders;
}

function open(url: string): ClientHttp2Session {
  // Enough for the calls of these tests: beyond it, Node's client rejects what it receives.
  const session = connect(url, { maxSessionMemory: 1000 });
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  return session;
}

function call(session: ClientHttp2Session, method: string, more: Record<string, string>): Call {
  const stream = session.request({
    ":method": "POST",
    ":path": pathOf(method),
    "content-type": "application/grpc",
    te: "trailers",
    ...more,
  });
  stream.on("error", () => {});
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.on("response", (received) => (headers = received));
  stream.on("trailers", (received) => (trailers = received));
  const messages = new Promise<Buffer[]>((resolve) => {
    stream.on("close", () => resolve(envelopes(Buffer.concat(chunks)).map(({ data }) => data)));
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, messages, headers: () => headers, trailers: () => trailers };
}

const number = create(ValueSchema, { kind: { case: "numberValue", value: 1 } });

const set = (groupId: string, itemId = "i") =>
  toBinary(
    SetRequestSchema,
    create(SetRequestSchema, { streamName: "s", groupId, itemId, data: number }),
  );

const subscription = (groupId: string) =>
  toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { streamName: "s", groupId }));

const write = (requestId: number, groupId: string, text = "x", returnValues = false) =>
  toBinary(
    WriteRequestSchema,
    create(WriteRequestSchema, {
      requestId: BigInt(requestId),
      returnValues,
      call: {
        case: "set",
        value: {
          streamName: "s",
          groupId,
          itemId: "i",
          data: { kind: { case: "stringValue", value: text } },
        },
      },
    }),
  );

const idsOf = (messages: readonly Buffer[]) =>
  messages.map((message) => Number(fromBinary(WriteResponseSchema, message).requestId));

describe.each(PATHS)("a gRPC call %s", (path, headers) => {
  const group = (name: string) => `${name} ${path}`;

  it("gets its response, with the status in trailers", async () => {
    const { stream, messages, ...response } = call(open(server.url), "set", headers);
    stream.end(envelope(set(group("whole"))));
    const [message] = await messages;
    expect(fromBinary(SetResponseSchema, message as Buffer).position?.revision).toBe(1n);
    expect(response.headers()).toMatchObject({ ":status": 200 });
    expect(response.headers()["content-type"]).toMatch(/^application\/grpc/);
    expect(response.trailers()).toMatchObject({ "grpc-status": STATUS.ok });
  });

  it("may arrive byte by byte", async () => {
    const { stream, messages, trailers } = call(open(server.url), "set", headers);
    for (const byte of envelope(set(group("bytes")))) {
      await new Promise((resolve) => stream.write(Buffer.from([byte]), resolve));
    }
    stream.end();
    expect(await messages).toHaveLength(1);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.ok });
  });

  it("does not run before its request has ended", async () => {
    const { stream, messages } = call(open(server.url), "set", headers);
    const groupId = group("half");
    await new Promise((resolve) => stream.write(envelope(set(groupId)), resolve));
    // A call on another connection overtakes it.
    const other = call(open(server.url), "set", headers);
    other.stream.end(envelope(set(groupId)));
    const [first] = await other.messages;
    expect(fromBinary(SetResponseSchema, first as Buffer).created).toBe(true);
    stream.end();
    const [second] = await messages;
    expect(fromBinary(SetResponseSchema, second as Buffer).created).toBe(false);
  });

  it.each([
    ["a prefix that is cut short", Buffer.from([0, 0, 0])],
    ["a message that is cut short", Buffer.from([0, 0, 0, 0, 9, 1])],
    ["no message", Buffer.alloc(0)],
    ["two messages", Buffer.concat([envelope(set("g")), envelope(set("g"))])],
    ["unknown flags", Buffer.from(envelope(set("g"), 4))],
    ["a message that is not protobuf", Buffer.from(envelope(Buffer.from([0xff, 0xff])))],
  ])("is refused for %s, with the reason in its details", async (_, body) => {
    const { stream, messages, trailers } = call(open(server.url), "set", headers);
    stream.end(body);
    expect(await messages).toEqual([]);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.invalid });
    const details = Buffer.from(String(trailers()["grpc-status-details-bin"]), "base64");
    expect(statusInfos(details)).toMatchObject([{ reason: "REQUEST_INVALID", domain: "millrace" }]);
  });

  it("is refused by its announced length when it is too large", async () => {
    const { stream, messages, trailers } = call(open(server.url), "set", headers);
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(MAX_REQUEST_BYTES + 1, 1);
    // The rest never comes.
    stream.write(prefix);
    expect(await messages).toEqual([]);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.invalid });
  });

  it("is refused with a percent-encoded sentence that names the field", async () => {
    const { stream, messages, trailers } = call(open(server.url), "set", headers);
    stream.end(envelope(set(group("names"), "é\u0007")));
    expect(await messages).toEqual([]);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.invalid });
    expect(decodeURIComponent(String(trailers()["grpc-message"]))).toContain("item_id");
  });

  it("ends at its deadline when it would never end by itself", async () => {
    const { stream, messages, trailers } = call(open(server.url), "subscribe", {
      ...headers,
      "grpc-timeout": "50m",
    });
    stream.end(envelope(subscription(group("late"))));
    expect(await messages).toHaveLength(1);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.late });
  });

  it("carries the credentials of its caller", async () => {
    const guarded = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      apiTokens: ["a-token-of-the-service"],
    });
    onTestFinished(async () => guarded.close());
    const statusOf = async (authorization: Record<string, string>) => {
      const { stream, messages, trailers } = call(open(guarded.url), "set", {
        ...headers,
        ...authorization,
      });
      stream.end(envelope(set("g")));
      await messages;
      return trailers()["grpc-status"];
    };
    expect(await statusOf({ authorization: "Bearer a-token-of-the-service" })).toBe(STATUS.ok);
    expect(await statusOf({ authorization: "Bearer another" })).toBe(STATUS.unauthenticated);
    expect(await statusOf({})).toBe(STATUS.unauthenticated);
  });

  it("ends its subscription when its caller cancels it", async () => {
    const groupId = group("cancelled");
    const { stream } = call(open(server.url), "subscribe", headers);
    const opened = new Promise((resolve) => stream.once("data", resolve));
    stream.end(envelope(subscription(groupId)));
    await opened;
    stream.close(constants.NGHTTP2_CANCEL);
    await vi.waitFor(() => expect(left).toContain(groupId));
  });

  it("completes although its connection is going away", async () => {
    const session = open(server.url);
    const { stream, messages, trailers } = call(session, "set", headers);
    await new Promise((resolve) => stream.write(envelope(set(group("goaway"))), resolve));
    session.goaway();
    stream.end();
    expect(await messages).toHaveLength(1);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.ok });
  });

  it("ends with UNAVAILABLE when the server closes, if it would never end by itself", async () => {
    const own = await createServer({ port: 0, store: { kind: "in_memory" } });
    const session = open(own.url);
    const goaway = new Promise((resolve) => session.once("goaway", resolve));
    const follow = call(session, "subscribe", headers);
    const opened = new Promise((resolve) => follow.stream.once("data", resolve));
    follow.stream.end(envelope(subscription("g")));
    const writes = call(session, "write", headers);
    writes.stream.write(envelope(write(1, "g")));
    await opened;
    await own.close();
    await Promise.all([follow.messages, writes.messages, goaway]);
    for (const { trailers } of [follow, writes])
      expect(trailers()).toMatchObject({ "grpc-status": STATUS.unavailable });
  });
});

it("a call on the fast path ends at its deadline, even if its request never ends", async () => {
  const { stream, messages, trailers } = call(open(server.url), "set", { "grpc-timeout": "50m" });
  stream.write(envelope(set("late")));
  expect(await messages).toEqual([]);
  expect(trailers()).toMatchObject({ "grpc-status": STATUS.late });
});

describe.each(PATHS)("a stream of writes %s", (path, headers) => {
  const group = (name: string) => `${name} ${path}`;

  it("may have several messages in one chunk, and one message in several chunks", async () => {
    const { stream, messages, trailers } = call(open(server.url), "write", headers);
    const [a, b, c, d] = [1, 2, 3, 4].map((id) => Buffer.from(envelope(write(id, group("cut")))));
    const bytes = Buffer.concat([a, b, c, d] as Buffer[]);
    const cuts = [0, 3, 7, (a as Buffer).length + 2, bytes.length - 1, bytes.length];
    for (let i = 1; i < cuts.length; i++)
      await new Promise((resolve) => stream.write(bytes.subarray(cuts[i - 1], cuts[i]), resolve));
    stream.end();
    expect(idsOf(await messages)).toEqual([1, 2, 3, 4]);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.ok });
  });

  it("is refused after its last complete message if it ends in the middle of one", async () => {
    const { stream, messages, trailers } = call(open(server.url), "write", headers);
    stream.end(Buffer.concat([envelope(write(1, group("end"))), Buffer.from([0, 0, 0, 0, 9, 1])]));
    expect(idsOf(await messages)).toEqual([1]);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.invalid });
  });

  it("is not read while its client reads no responses, and continues when it does", async () => {
    const session = open(server.url);
    const { stream, messages, trailers } = call(session, "write", headers);
    stream.pause();
    const groupId = group("stalled");
    const text = "x".repeat(20_000);
    const count = 1400;
    for (let id = 1; id <= count; id++) stream.write(envelope(write(id, groupId, text, true)));
    stream.end();
    const revision = async () =>
      (await server.service.list({ streamName: "s", groupId })).position.revision;
    let before = -1;
    // Waits until no more writes arrive.
    await vi.waitFor(
      async () => {
        const now = await revision();
        const isStill = now === before && now > 0;
        before = now;
        expect(isStill).toBe(true);
      },
      { interval: 200, timeout: 10_000 },
    );
    expect(before).toBeLessThan(count);
    stream.resume();
    expect(idsOf(await messages)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.ok });
  });
});

describe.each(PATHS)("calls %s that are reset at once", (path, headers) => {
  it("do not cost other connections their responses", async () => {
    const group = `reset ${path}`;
    const attacker = open(server.url);
    const gone = new Promise<void>((resolve) => attacker.once("close", resolve));
    for (let i = 0; i < 3000 && !attacker.destroyed; i++) {
      const { stream } = call(attacker, i % 2 === 0 ? "subscribe" : "write", headers);
      stream.write(envelope(subscription(group)));
      stream.close(constants.NGHTTP2_CANCEL);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const { stream, messages, trailers } = call(open(server.url), "set", headers);
    stream.end(envelope(set(group)));
    expect(await messages).toHaveLength(1);
    expect(trailers()).toMatchObject({ "grpc-status": STATUS.ok });
    attacker.destroy();
    await gone;
  });
});
