import { describeWhere } from "../support/describe-where.ts";
import { connect as connectTcp } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { memoryStore } from "millrace";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import { type RawResponse, rawHttp1, rawHttp2 } from "../support/doors/raw-http.ts";
import { type Method, RAW_PROTOCOLS, type RawProtocol } from "../support/doors/raw-protocol.ts";
import { part, utf8 } from "../wire/request/raw-wire.ts";

/** Slow enough that no test sees a second token. */
const BARELY = 0.01;
const METHODS: readonly Method[] = ["set", "get", "subscribe"];

async function start(options: ServerOptions): Promise<Server> {
  const server = await createServer({ port: 0, store: memoryStore(), ...options });
  onTestFinished(() => server.close());
  return server;
}

/** Sends a request. With `x-forwarded-for`, it comes from that address behind a local proxy. */
function call(url: string, protocol: RawProtocol, method: Method, headers = {}) {
  const client = protocol.httpVersion === "2" ? rawHttp2(url) : rawHttp1(url);
  const request = protocol.request(method, message(protocol));
  const deadline = protocol.name.includes("grpc")
    ? { "grpc-timeout": "100m" }
    : { "connect-timeout-ms": "100" };
  return client
    .request({ ...request, headers: { ...request.headers, ...deadline, ...headers } })
    .finally(() => client.close());
}

function message({ json, name }: RawProtocol): Uint8Array {
  const isWrite = name.includes("write") || name.includes("Write");
  const key = { streamName: "s", groupId: "g", itemId: "i" };
  if (json) return utf8(JSON.stringify(isWrite ? { ...key, data: 1 } : { streamName: "s" }));
  return Buffer.concat([part(1, "s"), part(2, "g")]);
}

describe("calls of one address", () => {
  let server: Server;
  beforeAll(async () => {
    server = await createServer({
      port: 0,
      store: memoryStore(),
      apiTokens: ["secret"],
      callerLimits: { requestsPerAddress: { perSecond: BARELY, burst: 3 } },
    });
  });
  afterAll(() => server.close());

  let clients = 0;
  const newAddress = () => `198.51.100.${++clients}`;
  const cases = RAW_PROTOCOLS.flatMap((protocol) =>
    METHODS.filter((method) => protocol.can(method)).map((method) => ({ protocol, method })),
  );

  it.each(cases)("are refused above the rate limit: $method, $protocol.name", async (of) => {
    const { protocol, method } = of;
    const headers = { "x-forwarded-for": newAddress() };
    const responses: RawResponse[] = [];
    for (let i = 0; i < 4; i++) responses.push(await call(server.url, protocol, method, headers));
    const refusals = responses.map((response) => protocol.refusal(response));
    expect(refusals.map((refusal) => refusal?.reason === "RATE_LIMITED")).toEqual([
      false,
      false,
      false,
      true,
    ]);
    const refusal = refusals.at(-1);
    const { status, headers: fields, trailers } = responses.at(-1) as RawResponse;
    expect(refusal).toMatchObject({ code: "resource_exhausted" });
    const waitMs = Number(refusal?.metadata["retry_after_ms"]);
    expect(waitMs).toBeGreaterThan(90_000);
    expect(waitMs).toBeLessThanOrEqual(100_000);
    if (protocol.framing !== "envelopes") {
      expect(status).toBe(429);
      expect(fields["retry-after"]).toBe(String(Math.ceil(waitMs / 1000)));
    } else if (protocol.name.startsWith("grpc ")) {
      const metadata = { ...fields, ...trailers };
      expect(metadata["grpc-retry-pushback-ms"]).toBe(String(waitMs));
    }
  });

  it("do not count against another address", async () => {
    const protocol = RAW_PROTOCOLS[0] as RawProtocol;
    for (let i = 0; i < 20; i++) {
      const headers = { "x-forwarded-for": newAddress() };
      const response = await call(server.url, protocol, "get", headers);
      expect(protocol.refusal(response)?.reason).toBe("AUTH_REFUSED");
    }
  });

  it("are not limited from loopback addresses or with a token", async () => {
    const protocol = RAW_PROTOCOLS[0] as RawProtocol;
    const forwarded = { "x-forwarded-for": newAddress(), authorization: "Bearer secret" };
    for (const headers of [{}, forwarded]) {
      for (let i = 0; i < 20; i++) {
        const response = await call(server.url, protocol, "get", headers);
        expect(protocol.refusal(response)?.reason).not.toBe("RATE_LIMITED");
      }
    }
  });

  it.each(["/healthz", "/demo", "/nowhere"])("include requests for %s", async (path) => {
    const client = rawHttp1(server.url);
    onTestFinished(() => client.close());
    const headers = { "x-forwarded-for": newAddress() };
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      const response = await client.request({ method: "GET", path, headers });
      statuses.push(response.status);
      if (response.status === 429)
        expect(Number(response.headers["retry-after"])).toBeGreaterThan(0);
    }
    expect(statuses.map((status) => status === 429)).toEqual([false, false, false, true]);
  });

  it("include health checks over gRPC", async () => {
    const protocol = RAW_PROTOCOLS.find(({ name }) => name === "grpc proto over HTTP/2");
    const client = rawHttp2(server.url);
    onTestFinished(() => client.close());
    const headers = { "x-forwarded-for": newAddress(), "content-type": "application/grpc" };
    const path = "/grpc.health.v1.Health/Check";
    const reasons: unknown[] = [];
    for (let i = 0; i < 4; i++) {
      const response = await client.request({ path, headers, body: new Uint8Array(5) });
      reasons.push(protocol?.refusal(response)?.reason);
    }
    expect(reasons).toEqual([undefined, undefined, undefined, "RATE_LIMITED"]);
  });

  it("include preflights, calls with a wrong content type and malformed calls", async () => {
    const client = rawHttp2(server.url);
    onTestFinished(() => client.close());
    const set = "/millrace.v1.StreamService/Set";
    const preflight = {
      origin: "http://localhost:5173",
      "access-control-request-method": "POST",
    };
    const requests = [
      { method: "OPTIONS", path: set, headers: preflight },
      { path: set, headers: { "content-type": "text/plain" } },
      { path: "/grpc.health.v1.Health/Check", headers: { "content-type": "text/plain" } },
      { path: "/grpc.health.v1.Health/Check", headers: { "content-type": "application/json" } },
    ];
    for (const request of requests) {
      const headers = { ...request.headers, "x-forwarded-for": newAddress() };
      const statuses: number[] = [];
      for (let i = 0; i < 4; i++) {
        const response = await client.request({ ...request, headers, body: Buffer.from("{{") });
        statuses.push(response.status);
      }
      expect(statuses.map((status) => status === 429)).toEqual([false, false, false, true]);
    }
  });

  it("include each request on a reflection stream", async () => {
    const client = rawHttp2(server.url);
    onTestFinished(() => client.close());
    const protocol = RAW_PROTOCOLS.find(({ name }) => name === "grpc proto over HTTP/2");
    const headers = { "x-forwarded-for": newAddress(), "content-type": "application/grpc" };
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    // Empty requests. The limit admits the call itself and two of them.
    const response = await client.request({ path, headers, body: new Uint8Array(5 * 2000) });
    expect(protocol?.refusal(response)?.reason).toBe("RATE_LIMITED");
    const responses =
      response.body.toString("latin1").split("message_request is missing").length - 1;
    expect(responses).toBe(2);
  });
});

describe("limited trusted callers", () => {
  it("pay for each request on a write stream", async () => {
    const server = await start({
      apiTokens: ["secret"],
      callerLimits: {
        limitTrustedCallers: true,
        requestsPerAddress: { perSecond: BARELY, burst: 1 },
      },
    });
    const writes = RAW_PROTOCOLS.filter(({ name }) => /write/i.test(name));
    expect(writes.length).toBeGreaterThan(0);
    for (const [i, protocol] of writes.entries()) {
      const headers = { "x-forwarded-for": `192.0.2.${i + 1}`, authorization: "Bearer secret" };
      const response = await call(server.url, protocol, "set", headers);
      expect(protocol.refusal(response)).toMatchObject({ reason: "RATE_LIMITED" });
    }
  });
});

/** A non-loopback address of this machine, to connect as a remote client does. */
const outside = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

describeWhere(
  outside === undefined ? "this machine has only loopback addresses" : undefined,
  "connections of one address",
  () => {
    const url = (server: Server) => `http://${outside ?? ""}:${server.port}`;
    const LIMITED = {
      host: "0.0.0.0",
      apiTokens: ["secret"],
      callerLimits: { maxConnectionsPerAddress: 3 },
    };
    /** Resolves with everything received until the connection closes. */
    const exchange = (server: Server, bytes: string) =>
      new Promise<string>((resolve, reject) => {
        const chunks: Buffer[] = [];
        const socket = connectTcp(server.port, outside, () => socket.write(bytes));
        socket.on("data", (chunk) => chunks.push(chunk));
        socket.on("error", reject);
        socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
      });
    const hold = (server: Server, host = outside) =>
      new Promise<() => void>((resolve) => {
        const socket = connectTcp(server.port, host, () => resolve(() => socket.destroy()));
        onTestFinished(() => void socket.destroy());
      });

    it("are refused beyond the limit, in the protocol of the client", async () => {
      const server = await start(LIMITED);
      await Promise.all([1, 2, 3].map(() => hold(server)));
      const response = await exchange(server, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
      expect(response).toMatch(/^HTTP\/1\.1 429 Too Many Requests\r\n/);
      expect(response).toMatch(/\r\nRetry-After: \d+\r\n/);
      const goaway = await exchange(server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      expect(goaway).toContain("TOO_MANY_CONNECTIONS");
      const client = rawHttp2(url(server));
      onTestFinished(() => client.close());
      await expect(client.request({ method: "GET", path: "/healthz" })).rejects.toThrow();
    });

    it("are not counted from loopback addresses, and free their slot when they close", async () => {
      const server = await start(LIMITED);
      await Promise.all([1, 2, 3, 4, 5].map(() => hold(server, "127.0.0.1")));
      const [release] = await Promise.all([1, 2, 3].map(() => hold(server)));
      const request = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
      expect(await exchange(server, request)).toMatch(/^HTTP\/1\.1 429 /);
      release?.();
      await expect.poll(() => exchange(server, request)).toMatch(/^HTTP\/1\.1 200 /);
    });

    it("each have one bucket for calls and one for subscriptions", async () => {
      const server = await start({
        ...LIMITED,
        callerLimits: {
          calls: { perSecond: BARELY, burst: 5 },
          subscriptions: { perSecond: BARELY, burst: 1 },
        },
      });
      const protocol = RAW_PROTOCOLS.find(({ name }) => name === "grpc json over HTTP/2");
      if (protocol === undefined) throw new Error("The protocol is missing.");
      const reasons = async (method: Method, times: number) => {
        const client = rawHttp2(url(server));
        const request = protocol.request(method, message(protocol));
        const headers = { ...request.headers, "grpc-timeout": "50m" };
        const found: unknown[] = [];
        for (let i = 0; i < times; i++)
          found.push(protocol.refusal(await client.request({ ...request, headers }))?.reason);
        client.close();
        return found;
      };
      expect(await reasons("subscribe", 2)).toEqual([expect.anything(), "RATE_LIMITED"]);
      const calls = await reasons("get", 6);
      expect(calls.map((reason) => reason === "RATE_LIMITED")).toEqual([
        ...Array<boolean>(5).fill(false),
        true,
      ]);
    });
  },
);
