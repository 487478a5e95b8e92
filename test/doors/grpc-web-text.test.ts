import { once } from "node:events";
import { request as requestHttp1 } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { Readable, Writable } from "node:stream";
import { fromBinary } from "@bufbuild/protobuf";
import { SubscribeResponseSchema } from "millrace/v1";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { envelope, envelopes, pathOf } from "../support/doors/raw-protocol.ts";
import { optionalJson } from "../support/doors/rpc-messages.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { part } from "../wire/request/raw-wire.ts";

let server: TestServer;
beforeAll(async () => (server = await startServer()));
afterAll(() => server.close());

const TYPE = "application/grpc-web-text";
const HEADERS = { "content-type": TYPE, accept: TYPE, "x-grpc-web": "1" };

/** A call whose request is sent in pieces, and the body of its response. */
interface Call {
  readonly request: Writable;
  readonly response: Promise<Readable>;
}

function overHttp1(path: string): Call {
  const { port } = server;
  const request = requestHttp1({ host: "127.0.0.1", port, method: "POST", path, headers: HEADERS });
  onTestFinished(() => void request.destroy());
  return { request, response: once(request, "response").then(([body]) => body as Readable) };
}

function overHttp2(path: string): Call {
  const session = connectHttp2(server.url);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ":method": "POST", ":path": path, ...HEADERS });
  return { request: stream, response: once(stream, "response").then(() => stream) };
}

/** Decodes concatenated base64 pieces, each with its own padding. */
function decode(text: string): Buffer {
  return Buffer.concat(
    (text.match(/[^=]+={0,2}/g) ?? []).map((padded) => Buffer.from(padded, "base64")),
  );
}

describe.each([
  ["HTTP/1.1", overHttp1],
  ["HTTP/2", overHttp2],
])("a subscription over application/grpc-web-text and %s", (version, open) => {
  const group = { streamName: "s", groupId: version };
  const request = Buffer.from(envelope(Buffer.concat([part(1, "s"), part(2, version)])));

  it("accepts padded pieces of a request, and receives each change at once, padded", async () => {
    const call = open(pathOf("subscribe"));
    // Pieces of 1, 5 and more bytes: all cases of padding. Some writes split a group of base64.
    const text = [request.subarray(0, 1), request.subarray(1, 6), request.subarray(6)]
      .map((piece) => piece.toString("base64"))
      .join("");
    expect(text).toMatch(/==[^=]+=./);
    for (const piece of [text.slice(0, 4), text.slice(4, 9), text.slice(9)]) {
      call.request.write(piece);
      await new Promise((resolve) => void setImmediate(resolve));
    }
    call.request.end();
    const response = await call.response;
    let received = "";
    response.setEncoding("latin1");
    response.on("data", (chunk: string) => (received += chunk));
    const frames = () => {
      // No byte of a message is held back until the next one.
      expect(received.length % 4).toBe(0);
      return envelopes(decode(received)).map(
        ({ data }) => fromBinary(SubscribeResponseSchema, data).frame,
      );
    };
    const changes = () =>
      frames().flatMap(({ case: kind, value }) =>
        kind === "change" ? [optionalJson(value.data)] : [],
      );
    await expect.poll(() => frames()[0]?.case).toBe("sync");
    for (const [at, data] of ["a", "bb", "ccc"].entries()) {
      await server.service.set({ ...group, itemId: "i", data });
      await expect.poll(changes).toEqual(["a", "bb", "ccc"].slice(0, at + 1));
    }
  });

  it("ends with its trailers in base64 when it is refused", async () => {
    const call = open(pathOf("subscribe"));
    call.request.end(Buffer.from(envelope(Buffer.alloc(0))).toString("base64"));
    const chunks = (await (await call.response).toArray()) as Buffer[];
    const parts = envelopes(decode(Buffer.concat(chunks).toString()));
    expect(parts.map(({ flags }) => flags)).toEqual([0x80]);
    expect(parts[0]?.data.toString()).toMatch(/^grpc-status: 3\r\n/m);
  });
});
