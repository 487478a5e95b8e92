import { gunzipSync, gzipSync } from "node:zlib";
import { type JsonObject, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import {
  compressionBrotli,
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { StreamService } from "millrace/v1";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { h1Stub, h2Stub } from "../support/doors/connect-doors.ts";
import { type RawClient, type RawRequest, rawHttp1, rawHttp2 } from "../support/doors/raw-http.ts";
import {
  type Method,
  RAW_PROTOCOLS,
  type RawProtocol,
  envelopes,
  pathOf,
} from "../support/doors/raw-protocol.ts";
import { Follower } from "../support/doors/follower.ts";
import { rpcClient } from "../support/doors/rpc-client.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { noise } from "../support/doors/values.ts";
import { utf8 } from "../wire/request/raw-wire.ts";

let server: TestServer;
let http1: RawClient;
let http2: RawClient;
beforeAll(async () => {
  server = await startServer();
  http1 = rawHttp1(server.url);
  http2 = rawHttp2(server.url);
});
afterAll(async () => {
  http1.close();
  http2.close();
  await server.close();
});

const send = ({ httpVersion }: RawProtocol, request: RawRequest) =>
  (httpVersion === "2" ? http2 : http1).request(request);

/** A request message in the protocol's encoding. */
function encode({ json }: RawProtocol, method: Method, content: JsonObject): Uint8Array {
  const desc = StreamService.method[method].input;
  return json ? utf8(JSON.stringify(content)) : toBinary(desc, fromJson(desc, content));
}

/** The response's message as proto JSON. */
function decode({ json, framing }: RawProtocol, method: Method, body: Buffer): JsonObject {
  const bytes = framing === "envelopes" ? (envelopes(body)[0]?.data ?? Buffer.alloc(0)) : body;
  if (json) return JSON.parse(bytes.toString()) as JsonObject;
  const desc = StreamService.method[method].output;
  return toJson(desc, fromBinary(desc, bytes)) as JsonObject;
}

describe("reads over GET", () => {
  const gets = RAW_PROTOCOLS.filter(({ framing }) => framing === "query");

  it.each(gets)("return the same as over POST: $name", async (protocol) => {
    const streamName = uniqueName("get");
    const key = { streamName, groupId: "g/ü?&", itemId: "i" };
    await server.service.set({ ...key, data: { a: [null, "💧"] } });
    const calls: readonly (readonly [Method, JsonObject])[] = [
      ["get", key],
      ["get", { ...key, itemId: "missing" }],
      ["list", { streamName, groupId: key.groupId, pageSize: 1 }],
      ["history", { streamName, groupId: key.groupId, itemId: "i", descending: true }],
      ["listGroups", { streamName }],
      ["listAll", {}],
    ];
    for (const [method, content] of calls) {
      const message = encode(protocol, method, content);
      const viaGet = await send(protocol, protocol.request(method, message));
      const type = `application/${protocol.json ? "json" : "proto"}`;
      const viaPost = await send(protocol, {
        path: pathOf(method),
        headers: { "content-type": type },
        body: message,
      });
      expect(viaGet.status).toBe(200);
      expect(viaGet.headers["content-type"]).toBe(type);
      expect(decode(protocol, method, viaGet.body)).toEqual(decode(protocol, method, viaPost.body));
    }
  });

  it("accept a message as plain text, and compressed", async () => {
    const key = { streamName: uniqueName("get"), groupId: "g", itemId: "i" };
    await server.service.set({ ...key, data: 1 });
    const plain = encodeURIComponent(JSON.stringify(key));
    const compressed = gzipSync(JSON.stringify(key)).toString("base64url");
    for (const query of [`message=${plain}`, `base64=1&compression=gzip&message=${compressed}`]) {
      const response = await http1.request({
        method: "GET",
        path: `${pathOf("get")}?encoding=json&${query}`,
      });
      expect(JSON.parse(response.body.toString())).toMatchObject({ item: { data: 1 } });
    }
  });

  it.each([
    [
      "HTTP/1.1",
      () =>
        h1Stub(server.url, (options) => createConnectTransport({ ...options, useHttpGet: true })),
    ],
    [
      "HTTP/2",
      () =>
        h2Stub(server.url, (options) =>
          createConnectTransport({ ...options, useHttpGet: true, useBinaryFormat: true }),
        ),
    ],
  ])("work with a client that prefers them, over %s", async (_, stub) => {
    const client = rpcClient(stub());
    onTestFinished(() => client.close());
    const key = { streamName: uniqueName("get"), groupId: "g", itemId: "i" };
    await client.set({ ...key, data: 1 });
    expect(await client.get(key)).toMatchObject({ data: 1 });
    expect((await client.list(key)).items).toHaveLength(1);
  });
});

describe("compression", () => {
  const large = { text: noise(100_000) };
  const clients = (["gzip", "br"] as const).flatMap((name) => {
    const sendCompression = name === "gzip" ? compressionGzip : compressionBrotli;
    const more = { sendCompression, acceptCompression: [sendCompression], compressMinBytes: 0 };
    return [
      [
        `Connect JSON over HTTP/1.1, ${name}`,
        () => h1Stub(server.url, (options) => createConnectTransport({ ...options, ...more })),
      ],
      [
        `Connect binary over HTTP/2, ${name}`,
        () =>
          h2Stub(server.url, (options) =>
            createConnectTransport({ ...options, ...more, useBinaryFormat: true }),
          ),
      ],
      [
        `gRPC, ${name}`,
        () => h2Stub(server.url, (options) => createGrpcTransport({ ...options, ...more })),
      ],
      [
        `gRPC-Web, ${name}`,
        () => h1Stub(server.url, (options) => createGrpcWebTransport({ ...options, ...more })),
      ],
    ] as const;
  });

  it.each(clients)("applies to requests and responses: %s", async (_, stub) => {
    const client = rpcClient(stub());
    onTestFinished(() => client.close());
    const key = { streamName: uniqueName("compressed"), groupId: "g", itemId: "i" };
    expect((await client.set({ ...key, data: large })).newValue).toEqual(large);
    expect(await client.get(key)).toMatchObject({ data: large });
    const frames = await client.subscribe(key);
    expect((await frames.next()).value).toMatchObject({ kind: "sync", items: [{ data: large }] });
    await frames.return();
  });

  it("applies to responses only when the client accepts it", async () => {
    const key = { streamName: uniqueName("compressed"), groupId: "g", itemId: "i" };
    await server.service.set({ ...key, data: "x".repeat(100_000) });
    const request = {
      path: pathOf("get"),
      headers: { "content-type": "application/json" },
      body: utf8(JSON.stringify(key)),
    };
    const plain = await http1.request(request);
    expect(plain.headers["content-encoding"]).toBeUndefined();
    const compressed = await http1.request({
      ...request,
      headers: { ...request.headers, "accept-encoding": "gzip" },
    });
    expect(compressed.headers["content-encoding"]).toBe("gzip");
    expect(compressed.body.byteLength).toBeLessThan(plain.body.byteLength / 10);
    expect(gunzipSync(compressed.body)).toEqual(plain.body);
    const unknown = await http1.request({
      ...request,
      headers: { ...request.headers, "accept-encoding": "snappy" },
    });
    expect(unknown.headers["content-encoding"]).toBeUndefined();
    expect(unknown.body).toEqual(plain.body);
  });
});

describe("a deadline, enforced by the server,", () => {
  const unary = RAW_PROTOCOLS.filter(({ can, name }) => can("get") && !name.startsWith("a write"));
  const streams = RAW_PROTOCOLS.filter(({ can }) => can("subscribe"));
  const writes = RAW_PROTOCOLS.filter(({ name }) => name.startsWith("a write"));
  const hurried = (protocol: RawProtocol, request: RawRequest): RawRequest => {
    const deadline = protocol.name.includes("grpc")
      ? { "grpc-timeout": "100m" }
      : { "connect-timeout-ms": "100" };
    return { ...request, headers: { ...request.headers, ...deadline } };
  };
  const key = { streamName: "deadlines", groupId: "g", itemId: "i" };

  it.each(unary)("ends a call: $name", async (protocol) => {
    const held = server.store.hold("get");
    const response = await send(
      protocol,
      hurried(protocol, protocol.request("get", encode(protocol, "get", key))),
    );
    held.release();
    expect(protocol.refusal(response)).toMatchObject({ code: "deadline_exceeded" });
  });

  it.each(streams)("ends a subscription: $name", async (protocol) => {
    const response = await send(
      protocol,
      hurried(protocol, protocol.request("subscribe", encode(protocol, "subscribe", key))),
    );
    expect(protocol.refusal(response)).toMatchObject({ code: "deadline_exceeded" });
    expect(envelopes(response.body).length).toBeGreaterThan(
      protocol.name.startsWith("grpc ") ? 0 : 1,
    );
    await server.store.whenWatches(0);
  });

  it.each(writes)("ends a write stream that is never half-closed: $name", async (protocol) => {
    const request = protocol.request("set", encode(protocol, "set", { ...key, data: 1 }));
    const response = await send(protocol, { ...hurried(protocol, request), keepOpen: true });
    expect(protocol.refusal(response)).toMatchObject({ code: "deadline_exceeded" });
    expect(await server.service.get(key)).toMatchObject({ data: 1 });
  });
});

describe("the response limit of 3.5 MiB", () => {
  const MAX_BYTES = 3.5 * 1024 * 1024;
  const protocols = RAW_PROTOCOLS.filter(({ name }) =>
    /^(connect|grpc) (json|proto) over HTTP\/2$/.test(name),
  );
  const sizeOf = ({ framing }: RawProtocol, body: Buffer) =>
    framing === "envelopes"
      ? Math.max(...envelopes(body).map(({ data }) => data.byteLength))
      : body.byteLength;
  /** An id that doubles in size as JSON. */
  const awkward = (i: number) => `${String(i).padStart(4, "0")}${'"'.repeat(252)}`;
  /** Sizes of values, about the same in every encoding. */
  const SIZES = [2_000, 2_100, 30_000, 1_000_000];

  it.each(protocols)("holds for pages of items and of changes: $name", async (protocol) => {
    for (const size of SIZES) {
      const group = { streamName: uniqueName("sizes"), groupId: "g" };
      const count = Math.min(1000, Math.ceil(5_000_000 / size));
      for (let i = 0; i < count; i++)
        await server.service.set({ ...group, itemId: awkward(i), data: '"'.repeat(size / 2) });
      for (const [method, entries] of [
        ["list", "items"],
        ["history", "changes"],
      ] as const) {
        let pageToken: unknown = "";
        let found = 0;
        do {
          const message = encode(protocol, method, {
            ...group,
            pageSize: 1000,
            pageToken: String(pageToken),
          });
          const { body } = await send(protocol, protocol.request(method, message));
          expect(sizeOf(protocol, body)).toBeLessThan(MAX_BYTES);
          const page = decode(protocol, method, body);
          found += (page[entries] as unknown[]).length;
          pageToken = page["nextPageToken"] ?? "";
        } while (pageToken !== "");
        expect(found).toBe(count);
      }
    }
  });

  it.each(protocols)("holds for pages of groups: $name", async (protocol) => {
    const streamName = `${uniqueName("sizes")}${'"'.repeat(200)}`;
    for (let i = 0; i < 1000; i++)
      await server.service.set({ streamName, groupId: awkward(i), itemId: "i", data: 0 });
    for (const method of ["listGroups", "listAll"] as const) {
      const content = method === "listAll" ? { pageSize: 1000 } : { streamName, pageSize: 1000 };
      const { body } = await send(
        protocol,
        protocol.request(method, encode(protocol, method, content)),
      );
      expect(sizeOf(protocol, body)).toBeLessThan(MAX_BYTES);
    }
  });

  it.each(protocols)("holds for batches that return values: $name", async (protocol) => {
    for (const size of [2_000, 1_000_000]) {
      const group = { streamName: uniqueName("sizes"), groupId: "g" };
      const attempt = async (count: number) => {
        const mutations = Array.from({ length: count }, (_, i) => ({
          set: { itemId: `i${i}`, data: '"'.repeat(size / 2) },
        }));
        const content = { ...group, mutations, returnValues: true };
        const response = await send(
          protocol,
          protocol.request("batch", encode(protocol, "batch", content)),
        );
        const refusal = protocol.refusal(response);
        if (refusal !== undefined) expect(refusal.reason).toBe("RESPONSE_TOO_LARGE");
        else expect(sizeOf(protocol, response.body)).toBeLessThan(MAX_BYTES);
        return refusal === undefined;
      };
      let [fits, tooMany] = [0, Math.min(1000, Math.floor(3_900_000 / size)) + 1];
      while (tooMany - fits > 1) {
        const count = Math.floor((fits + tooMany) / 2);
        if (await attempt(count)) fits = count;
        else tooMany = count;
      }
      // A large part of the limit is usable.
      expect(fits * size).toBeGreaterThan(1_000_000);
    }
  });

  it.each([
    [
      "Connect JSON",
      () =>
        h2Stub(server.url, (options) =>
          createConnectTransport({ ...options, readMaxBytes: MAX_BYTES }),
        ),
    ],
    [
      "Connect binary",
      () =>
        h2Stub(server.url, (options) =>
          createConnectTransport({ ...options, readMaxBytes: MAX_BYTES, useBinaryFormat: true }),
        ),
    ],
    [
      "gRPC",
      () =>
        h2Stub(server.url, (options) =>
          createGrpcTransport({ ...options, readMaxBytes: MAX_BYTES }),
        ),
    ],
  ])("holds for snapshot parts, to a client with that limit: %s", async (_, stub) => {
    const client = rpcClient(stub());
    onTestFinished(() => client.close());
    for (const size of SIZES) {
      const group = { streamName: uniqueName("sizes"), groupId: "g" };
      const count = Math.min(1500, Math.ceil(5_000_000 / size));
      for (let i = 0; i < count; i++)
        await server.service.set({ ...group, itemId: awkward(i), data: '"'.repeat(size / 2) });
      const follower = await Follower.open(client, group);
      await follower.sync();
      expect(follower.state.size).toBe(count);
      await follower.close();
    }
  });
});
