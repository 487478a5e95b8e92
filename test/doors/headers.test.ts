import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { rawHttp1, rawHttp2 } from "../support/doors/raw-http.ts";
import { envelope, pathOf } from "../support/doors/raw-protocol.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { part, utf8 } from "../wire/request/raw-wire.ts";

const GROUP = Buffer.concat([part(1, "s"), part(2, "g")]);
const KEY = Buffer.concat([GROUP, part(3, "i")]);

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
  await server.service.set({ streamName: "s", groupId: "g", itemId: "i", data: "there" });
  await server.service.set({ streamName: "s", groupId: "g", itemId: "l", data: "x".repeat(2000) });
});
afterAll(() => server.close());

/** Opens a request over HTTP/2, leaves it open, and returns the response headers. */
async function headersOf(path: string, type: string, body?: Uint8Array) {
  const session = connectHttp2(server.url);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": type });
  if (body !== undefined) stream.end(body);
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  return headers;
}

const UNBUFFERED = { "x-accel-buffering": "no", "cache-control": "no-store, no-transform" };

describe("a streaming response", () => {
  it.each([
    "application/grpc",
    "application/grpc+json",
    "application/grpc-web",
    "application/connect+proto",
  ])("of %s forbids buffering and storing by proxies", async (type) => {
    const message = type.endsWith("json") ? utf8('{"streamName":"s","groupId":"g"}') : GROUP;
    expect(await headersOf(pathOf("subscribe"), type, envelope(message))).toMatchObject(UNBUFFERED);
  });

  it("over HTTP/1.1 forbids buffering and storing by proxies", async () => {
    const socket = connect(server.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    const body = envelope(GROUP);
    socket.write(
      `POST ${pathOf("subscribe")} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: ${body.byteLength}\r\n\r\n`,
    );
    socket.write(body);
    const [chunk] = (await once(socket, "data")) as [Buffer];
    expect(chunk.toString("latin1").toLowerCase()).toMatch(
      /cache-control: no-store, no-transform\r\n[^]*x-accel-buffering: no\r\n|x-accel-buffering: no\r\n[^]*cache-control: no-store, no-transform\r\n/,
    );
  });

  it("of Write sends its headers before the first message", async () => {
    expect(await headersOf(pathOf("write"), "application/grpc")).toMatchObject({
      ":status": 200,
      ...UNBUFFERED,
    });
  });
});

describe.each([
  ["HTTP/1.1", rawHttp1],
  ["HTTP/2", rawHttp2],
] as const)("the service over %s", (_version, open) => {
  const client = () => {
    const made = open(server.url);
    onTestFinished(() => made.close());
    return made;
  };

  it("lists the allowed methods with 405", async () => {
    const to = client();
    const wrong = (path: string) => to.request({ method: "DELETE", path });
    expect(await wrong(pathOf("set"))).toMatchObject({ status: 405, headers: { allow: "POST" } });
    const get = await wrong(pathOf("get"));
    expect([get.status, String(get.headers.allow).split(", ").toSorted()]).toEqual([
      405,
      ["GET", "POST"],
    ]);
    expect(await wrong("/healthz")).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  });

  it("lists the accepted content types with 415", async () => {
    const response = await client().request({
      path: pathOf("get"),
      headers: { "content-type": "text/plain" },
      body: utf8("x"),
    });
    expect(response.status).toBe(415);
    expect(response.headers["accept-post"]).toContain("application/json");
  });

  it("varies a compressible response by accept-encoding and origin", async () => {
    const request = { path: pathOf("list"), body: utf8('{"streamName":"s","groupId":"g"}') };
    const headers = { "content-type": "application/json", "accept-encoding": "gzip" };
    for (const more of [
      {},
      { origin: "http://localhost:5173" },
      { "content-encoding": "identity" },
    ]) {
      const response = await client().request({ ...request, headers: { ...headers, ...more } });
      expect(String(response.headers.vary).toLowerCase().split(/, ?/)).toEqual(
        expect.arrayContaining(["origin", "accept-encoding"]),
      );
    }
  });

  it("ignores parameters of gRPC content types", async () => {
    const types = ["application/grpc-web; charset=utf-8", "application/grpc-web+proto;x=y"];
    if (_version === "HTTP/2")
      types.push("application/grpc; charset=utf-8", "application/grpc+proto;x=y");
    for (const type of types) {
      const response = await client().request({
        path: pathOf("get"),
        headers: { "content-type": type },
        body: envelope(KEY),
      });
      expect([type, response.status]).toEqual([type, 200]);
      expect(response.body.toString()).toContain("there");
    }
  });

  it("serves gRPC-Web in base64, in separately padded pieces", async () => {
    const message = Buffer.from(envelope(KEY));
    const pieces = [message.subarray(0, 4), message.subarray(4, 5), message.subarray(5)];
    for (const body of [
      message.toString("base64"),
      pieces.map((piece) => piece.toString("base64")).join(""),
    ])
      for (const type of ["application/grpc-web-text", "application/grpc-web-text+proto"]) {
        const response = await client().request({
          path: pathOf("get"),
          headers: { "content-type": type, "x-grpc-web": "1" },
          body: utf8(body),
        });
        expect(response.status).toBe(200);
        expect(response.headers["content-type"]).toBe("application/grpc-web-text+proto");
        const parts = response.body.toString().match(/[^=]+={0,2}/g) ?? [];
        const decoded = Buffer.concat(parts.map((text) => Buffer.from(text, "base64"))).toString();
        expect(decoded).toContain("there");
        expect(decoded).toContain("grpc-status: 0");
      }
    const refused = await client().request({
      path: pathOf("get"),
      headers: { "content-type": "application/grpc-web-text" },
      body: utf8("no base64!"),
    });
    const parts = refused.body.toString().match(/[^=]+={0,2}/g) ?? [];
    expect(Buffer.concat(parts.map((text) => Buffer.from(text, "base64"))).toString()).toContain(
      "grpc-status: 3",
    );
  });

  it("allows the headers that an allowed page requests in a preflight", async () => {
    const preflight = (requested: string) =>
      client().request({
        method: "OPTIONS",
        path: pathOf("set"),
        headers: {
          origin: "http://localhost:5173",
          "access-control-request-method": "POST",
          "access-control-request-headers": requested,
        },
      });
    const allowed = await preflight("traceparent,baggage, x-request-id");
    expect(allowed.status).toBe(204);
    expect(allowed.headers).toMatchObject({
      "access-control-allow-headers": expect.stringMatching(/traceparent,baggage, x-request-id$/),
      "access-control-max-age": "7200",
      vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    });
    for (const odd of ["a b", "a,,b", "<script>", `x,${"y".repeat(5000)}`]) {
      const response = await preflight(odd);
      expect(response.headers["access-control-allow-headers"]).not.toContain(odd.slice(0, 3));
    }
  });
});

describe("oversized headers", () => {
  const send = async (text: string) => {
    const socket = connect(server.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.write(text);
    return (await buffer(socket)).toString();
  };

  it("of any length get 431 with a body over HTTP/1.1, and a target 414", async () => {
    for (const length of [20_000, 1_000_000]) {
      expect(
        await send(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(length)}\r\n\r\n`),
      ).toMatch(/^HTTP\/1\.1 431 [^]*\r\n\r\nThe headers are too large; [^]*\.\n$/);
      expect(await send(`GET /${"x".repeat(length)} HTTP/1.1\r\nHost: localhost\r\n\r\n`)).toMatch(
        /^HTTP\/1\.1 414 [^]*\r\n\r\nThe request target is too long; [^]*\.\n$/,
      );
    }
    expect(await send("hello?\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 400 [^]*\r\n\r\nThe request is not valid [^]*\.\n$/,
    );
  });
});
