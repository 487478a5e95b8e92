import { connect } from "node:net";
import { randomBytes } from "node:crypto";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type Server, createServer } from "millrace/server";
import { BodyBudget } from "../../src/limits/body-budget.ts";
import { BodyBuffer } from "../../src/rpc/body-buffer.ts";
import { EnvelopeSplitter } from "../../src/rpc/envelope.ts";
import { MAX_SMALL_REQUEST_BYTES } from "../../src/rpc/request-limits.ts";
import { inflate } from "../../src/rpc/inflate.ts";
import { callH2, enveloped, openH2 } from "../support/doors/h2-call.ts";

const MIB = 1024 * 1024;
let server: Server;
beforeAll(async () => {
  server = await createServer({ port: 0, store: { kind: "in_memory" } });
});
afterAll(() => server.close());

/** Paths of methods whose requests hold no values. */
const SMALL = [
  ...["Subscribe", "Get", "List", "ListGroups", "ListAll", "Delete"].map(
    (name) => `/millrace.v1.StreamService/${name}`,
  ),
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

describe.each(SMALL)("a request of %s", (path) => {
  // An unknown field, which would be skipped, beyond the limit.
  const tooLarge = Buffer.concat([
    Buffer.from([0xfa, 0x7f, 0x80, 0x80, 0x01]),
    Buffer.alloc(16 * 1024),
  ]);
  const sentence = "has more than 16384 bytes";

  it.each([
    ["plain", {}, enveloped(tooLarge)],
    ["compressed with gzip", { "grpc-encoding": "gzip" }, enveloped(gzipSync(tooLarge), 1)],
    [
      "compressed with Brotli",
      { "grpc-encoding": "br" },
      enveloped(brotliCompressSync(tooLarge), 1),
    ],
    ["announced by its prefix", {}, enveloped(tooLarge).subarray(0, 5)],
  ])("is refused beyond 16 KiB over gRPC, %s", async (_name, more, body) => {
    const session = openH2(server.url);
    onTestFinished(() => session.destroy());
    const headers = { "content-type": "application/grpc", te: "trailers", ...more };
    const { headers: head, trailers } = await callH2(session, path, headers, body, body.length > 5);
    const status = { ...head, ...trailers };
    expect(status["grpc-status"]).toBe("3");
    expect(decodeURIComponent(String(status["grpc-message"]))).toContain(sentence);
  });
});

describe("a compressed request", () => {
  const bomb = brotliCompressSync(Buffer.alloc(4 * MIB, "["));

  it("is inflated no further than its limit, however small its compressed form", async () => {
    const budget = new BodyBudget();
    const refused = (maxBytes: number) =>
      expect(inflate(bomb, "br", maxBytes, budget)).rejects.toMatchObject({
        reason: "REQUEST_INVALID",
      });
    await refused(MAX_SMALL_REQUEST_BYTES);
    await refused(4 * MIB);
    expect(budget.heldBytes).toBe(0);
  });

  it("may have the best ratio of gzip", async () => {
    const budget = new BodyBudget();
    const zeros = Buffer.alloc(3 * MIB);
    const { bytes, release } = await inflate(gzipSync(zeros), "gzip", 4 * MIB, budget);
    expect(bytes.equals(zeros)).toBe(true);
    expect(budget.heldBytes).toBe(3 * MIB);
    release();
    release();
    expect(budget.heldBytes).toBe(0);
  });

  it("is refused when it is malformed, and gives back its bytes", async () => {
    const budget = new BodyBudget();
    await expect(inflate(Buffer.from("no gzip"), "gzip", 4 * MIB, budget)).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
    });
    expect(budget.heldBytes).toBe(0);
  });

  it("is refused as OVERLOADED when the budget is used up, and gives back its bytes", async () => {
    const budget = new BodyBudget(MIB);
    await expect(
      inflate(gzipSync(Buffer.alloc(2 * MIB)), "gzip", 4 * MIB, budget),
    ).rejects.toMatchObject({ reason: "OVERLOADED" });
    expect(budget.heldBytes).toBe(0);
  });
});

describe("the budget of bodies", () => {
  it("counts the bytes of a body of one chunk, and gets them back once", () => {
    const budget = new BodyBudget(100);
    const buffer = new BodyBuffer(budget);
    const chunk = Buffer.from("0123456789");
    buffer.push(chunk);
    expect(buffer.bytes).toBe(chunk);
    expect(budget.heldBytes).toBe(10);
    buffer.release();
    buffer.release();
    expect(budget.heldBytes).toBe(0);
  });

  it("counts at most about twice the bytes of a body of tiny chunks", () => {
    const budget = new BodyBudget();
    const buffer = new BodyBuffer(budget);
    const bytes = randomBytes(10_000);
    for (const byte of bytes) buffer.push(Buffer.from([byte]));
    expect(buffer.bytes.equals(bytes)).toBe(true);
    expect(budget.heldBytes).toBe(16_384);
    buffer.close();
    expect(budget.heldBytes).toBe(0);
    expect(() => buffer.push(bytes)).toThrow();
    expect(budget.heldBytes).toBe(0);
  });

  it("refuses bytes beyond its limit and keeps those that it has", () => {
    const budget = new BodyBudget(1000);
    const [one, other] = [new BodyBuffer(budget), new BodyBuffer(budget)];
    one.push(Buffer.alloc(600));
    expect(() => other.push(Buffer.alloc(600))).toThrow(/at its limit of request bytes in memory/);
    expect(budget.heldBytes).toBe(600);
    one.release();
    other.push(Buffer.alloc(600));
    expect(budget.heldBytes).toBe(600);
  });

  it("reserves its last eighth for small bodies", () => {
    const budget = new BodyBudget(8 * MIB);
    const [large, small] = [new BodyBuffer(budget), new BodyBuffer(budget)];
    large.push(Buffer.alloc(7 * MIB));
    expect(() => large.push(Buffer.alloc(1))).toThrow(/at its limit of request bytes in memory/);
    small.push(Buffer.alloc(10));
    small.push(Buffer.alloc(10));
    expect(budget.heldBytes).toBe(7 * MIB + 256);
    expect(() => small.push(Buffer.alloc(16 * 1024))).toThrow();
  });

  it("counts no more than the largest body, however its buffer grows", () => {
    const budget = new BodyBudget();
    const buffer = new BodyBuffer(budget, 16_389);
    for (let i = 0; i < 2; i++) buffer.push(Buffer.alloc(8194));
    expect(budget.heldBytes).toBe(16_389);
    buffer.push(Buffer.alloc(1));
    expect(buffer.length).toBe(16_389);
    expect(budget.heldBytes).toBe(16_389);
    buffer.close();
  });

  it.each([1, 2, 7, 1000])("is empty after messages arrive in chunks of %d bytes", (size) => {
    const budget = new BodyBudget();
    const splitter = new EnvelopeSplitter({ maxBytes: 500, budget, onLate: () => {} });
    const messages = ["", "a", "b".repeat(300), "", "c".repeat(500)];
    const bytes = Buffer.concat(messages.map((text, i) => enveloped(Buffer.from(text), i % 2)));
    const got: string[] = [];
    for (let at = 0; at < bytes.length; at += size)
      splitter.push(bytes.subarray(at, at + size), ({ flags, data }) =>
        got.push(`${flags}${Buffer.from(data).toString()}`),
      );
    expect(got).toEqual(messages.map((text, i) => `${i % 2}${text}`));
    expect(splitter.isAtEnd).toBe(true);
    expect(budget.heldBytes).toBe(0);
    expect(() => splitter.push(enveloped(Buffer.alloc(501)), () => {})).toThrow(
      "more than 500 bytes",
    );
    splitter.push(Buffer.from([0, 0]), () => {});
    splitter.release();
    expect(budget.heldBytes).toBe(0);
  });
});

describe("incomplete bodies", () => {
  const SET = "/millrace.v1.StreamService/Set";
  const WRITE = "/millrace.v1.StreamService/Write";
  it.each([
    ["the gRPC fast path", SET, { "content-type": "application/grpc" }],
    ["gRPC with JSON", SET, { "content-type": "application/grpc+json" }],
    ["the Connect fast path", SET, { "content-type": "application/json" }],
    [
      "Connect with compression",
      SET,
      { "content-type": "application/json", "content-encoding": "gzip" },
    ],
    ["a stream of writes", WRITE, { "content-type": "application/grpc" }],
    ["a stream of writes in JSON", WRITE, { "content-type": "application/connect+json" }],
    ["a worker", "/millrace.v1.WorkerService/Connect", { "content-type": "application/grpc" }],
  ])(
    "over %s share one budget, and give back their bytes when they are aborted",
    async (_name, path, headers) => {
      const small = await createServer({
        port: 0,
        store: { kind: "in_memory" },
        maxBodyBytesInFlight: 8 * MIB,
      });
      onTestFinished(() => small.close());
      const prefix = Buffer.from([0, 0, 0x3f, 0, 0]);
      const part = Buffer.concat([prefix, Buffer.alloc(3 * MIB, " ")]);
      const session = openH2(small.url);
      const open = () => callH2(session, path, { ...headers, te: "trailers" }, part, false);
      const refused = await Promise.race([open(), open(), open()]);
      const text = JSON.stringify([refused.headers, refused.trailers, refused.body.toString()]);
      expect(text).toContain("at its limit of request bytes in memory");
      // Node's client spins when its session is destroyed in the close callback of a stream.
      await new Promise((resolve) => setTimeout(resolve, 100));
      session.destroy();
      const again = openH2(small.url);
      onTestFinished(() => again.destroy());
      const ok = async () => {
        const request = { streamName: "s", groupId: "g", itemId: "i", data: "x".repeat(MIB - 100) };
        const body = Buffer.from(JSON.stringify(request));
        return (await callH2(again, SET, { "content-type": "application/json" }, body)).headers[
          ":status"
        ];
      };
      await expect
        .poll(async () => Promise.all(Array.from({ length: 3 }, ok)))
        .toEqual([200, 200, 200]);
    },
  );
});

describe("incomplete bodies of untrusted callers", () => {
  const SUBSCRIBE = "/millrace.v1.StreamService/Subscribe";
  const CHECK = "/grpc.health.v1.Health/Check";
  const REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  it.each([
    ["Subscribe over gRPC", SUBSCRIBE, "application/grpc"],
    ["Subscribe over gRPC with JSON", SUBSCRIBE, "application/grpc+json"],
    ["Subscribe over Connect", SUBSCRIBE, "application/connect+json"],
    ["health", CHECK, "application/grpc"],
    ["health over Connect", CHECK, "application/json"],
    ["reflection", REFLECTION, "application/grpc"],
  ])("to %s block neither trusted writes nor new connections", async (_name, path, type) => {
    const small = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      apiTokens: ["secret"],
      maxBodyBytesInFlight: 8 * MIB,
    });
    onTestFinished(() => small.close());
    const prefix = Buffer.from([0, 0, 0, 0x40, 0]);
    const part = Buffer.concat([prefix, Buffer.alloc(15_000, " ")]);
    const headers = { "content-type": type, te: "trailers" };
    let refusals = 0;
    const attackers = Array.from({ length: 4 }, () => openH2(small.url));
    onTestFinished(() => {
      for (const attacker of attackers) attacker.destroy();
    });
    // 12 MB in total, of which the share of 2 MiB is accepted.
    for (const attacker of attackers)
      for (let i = 0; i < 200; i++)
        void callH2(attacker, path, headers, part, false).then(() => refusals++);
    await expect.poll(() => refusals, { timeout: 10_000 }).toBeGreaterThan(400);

    const trusted = openH2(small.url);
    onTestFinished(() => trusted.destroy());
    const request = { streamName: "s", groupId: "g", itemId: "i", data: "x".repeat(500_000) };
    const authorized = { "content-type": "application/json", authorization: "Bearer secret" };
    const writes = Array.from({ length: 4 }, () =>
      callH2(
        trusted,
        "/millrace.v1.StreamService/Set",
        authorized,
        Buffer.from(JSON.stringify(request)),
      ),
    );
    const statuses = (await Promise.all(writes)).map((response) => response.headers[":status"]);
    expect(statuses).toEqual([200, 200, 200, 200]);

    const newConnection = openH2(small.url);
    onTestFinished(() => newConnection.destroy());
    const grpc = { "content-type": "application/grpc", te: "trailers" };
    // A large unknown field, which is skipped.
    const large = Buffer.concat([Buffer.from([0xfa, 0x7f, 0xc0, 0x3e]), Buffer.alloc(8000)]);
    const { headers: head, trailers } = await callH2(newConnection, CHECK, grpc, enveloped(large));
    expect({ ...head, ...trailers }["grpc-status"]).toBe("0");
  });
});

it("the server survives clients that disconnect in the middle of a body", async () => {
  const sessions = Array.from({ length: 5 }, () => openH2(server.url));
  const calls = sessions.flatMap((session) =>
    ["Set", "Subscribe", "Write", "Get"].flatMap((name) =>
      ["application/grpc", "application/json"].map((type) =>
        callH2(
          session,
          `/millrace.v1.StreamService/${name}`,
          { "content-type": type, te: "trailers" },
          enveloped(Buffer.alloc(10_000)).subarray(0, 5000),
          false,
        ),
      ),
    ),
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const session of sessions) session.destroy();
  await Promise.all(calls);
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
});

describe("a body over HTTP/1.1 that continues after its response", () => {
  it.concurrent.for([
    ["GET /healthz"],
    ["POST /healthz"],
    ["GET /demo"],
    ["POST /nowhere"],
    ["POST /millrace.v1.StreamService/Nothing"],
  ])("to %s ends when the server closes the connection", async ([line], { onTestFinished }) => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    socket.write(
      `${line} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const trickle = setInterval(() => socket.write("1\r\nx\r\n"), 50);
    onTestFinished(() => clearInterval(trickle));
    socket.resume();
    // A write to the closed connection is an error, which closes the socket too.
    await new Promise((resolve) => socket.on("close", resolve));
  });
});
