import { once } from "node:events";
import { type IncomingHttpHeaders, connect } from "node:http2";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { envelope, envelopes, pathOf } from "../support/doors/raw-protocol.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { part, utf8, varint } from "../wire/request/raw-wire.ts";

const WRITE = pathOf("write");
const WORKER = "/millrace.v1.WorkerService/Connect";
const REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const REFLECTION_ALPHA = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
const METHODS = [WRITE, WORKER, REFLECTION, REFLECTION_ALPHA];

const ITEM = Buffer.concat([part(1, "s"), part(2, "g"), part(3, "i")]);
/** By method: the client's first message, and a pattern of its response. */
const FIRST: Readonly<
  Record<string, readonly [binary: Uint8Array, json: string, response: RegExp]>
> = {
  [WRITE]: [
    Buffer.concat([varint(1, 7), part(5, ITEM)]),
    '{"requestId":"7","delete":{"streamName":"s","groupId":"g","itemId":"i"}}',
    /^.{2,}|"requestId":"7"/s,
  ],
  [WORKER]: [part(1, part(1, "me")), '{"hello":{"workerName":"me"}}', /^\n|"welcome"/],
  [REFLECTION]: [part(7, "*"), '{"listServices":"*"}', /millrace\.v1\.StreamService/],
  [REFLECTION_ALPHA]: [part(7, "*"), '{"listServices":"*"}', /millrace\.v1\.StreamService/],
};
const TYPES = [
  ["application/grpc", {}],
  ["application/grpc", { "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" }],
  ["application/grpc+json", {}],
  ["application/connect+proto", {}],
  ["application/connect+json", {}],
] as const;

let server: TestServer;
let guarded: TestServer;
beforeAll(async () => {
  server = await startServer();
  guarded = await startServer("memory", { apiTokens: ["secret"] });
});
afterAll(async () => {
  await server.close();
  await guarded.close();
});

/** Opens a call that sends nothing yet. */
function open({ url }: TestServer, path: string, headers: IncomingHttpHeaders) {
  const session = connect(url);
  onTestFinished(() => session.destroy());
  const call = session.request({ ":method": "POST", ":path": path, te: "trailers", ...headers });
  let trailers: IncomingHttpHeaders = {};
  call.on("trailers", (received: IncomingHttpHeaders) => (trailers = received));
  return { call, trailers: () => trailers };
}

describe.each(METHODS)("%s", (path) => {
  it.each(TYPES)(
    "sends response headers of %s %o before the first request message, then valid responses",
    async (type, more) => {
      const { call } = open(server, path, { "content-type": type, ...more });
      call.on("error", () => {});
      const [headers] = (await once(call, "response")) as [IncomingHttpHeaders];
      expect(headers).toMatchObject({
        ":status": 200,
        "content-type": type === "application/grpc" ? "application/grpc+proto" : type,
        "x-accel-buffering": "no",
      });
      const [binary, json, response] = FIRST[path] ?? [utf8(""), "", /./];
      call.write(envelope(type.endsWith("json") ? utf8(json) : binary));
      const [chunk] = (await once(call, "data")) as [Buffer];
      const [first] = envelopes(chunk);
      // Large responses are compressed for clients that accept it.
      if (first?.flags === 0) expect(first.data.toString()).toMatch(response);
      expect(first?.data.byteLength).toBeGreaterThan(2);
    },
  );

  it.each([
    ["application/grpc", { "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" }],
    ["application/connect+json", {}],
  ] as const)("reports a malformed message of %s after its headers", async (type, more) => {
    const { call, trailers } = open(server, path, { "content-type": type, ...more });
    await once(call, "response");
    call.end(Buffer.from([0, 0, 0, 0, 9, 1]));
    const body = (await buffer(call)).toString();
    if (type === "application/grpc")
      expect(trailers()).toMatchObject({
        "grpc-status": "3",
        "grpc-message": expect.stringMatching(/^[A-Z][\w ;,:]+\.$/),
      });
    else expect(body).toContain('"code":"invalid_argument"');
  });
});

describe.each([WRITE, WORKER])("%s, refused at its start,", (path) => {
  it("sends no message over gRPC, and its status in the trailers", async () => {
    for (const more of [{}, { "grpc-encoding": "gzip" }]) {
      const { call, trailers } = open(guarded, path, {
        "content-type": "application/grpc",
        ...more,
      });
      const [headers] = (await once(call, "response")) as [IncomingHttpHeaders];
      expect(headers[":status"]).toBe(200);
      call.end();
      expect(await buffer(call)).toHaveLength(0);
      expect(trailers()).toMatchObject({ "grpc-status": "16" });
    }
  });

  it("sends only the end-of-stream message over Connect", async () => {
    const { call } = open(guarded, path, { "content-type": "application/connect+json" });
    await once(call, "response");
    call.end();
    const parts = envelopes(await buffer(call));
    expect(parts).toHaveLength(1);
    expect(parts[0]?.flags).toBe(2);
    expect(parts[0]?.data.toString()).toContain('"code":"unauthenticated"');
  });
});
