import { once } from "node:events";
import { connect } from "node:net";
import { Code } from "@connectrpc/connect";
import { registerWorker } from "millrace/worker";
import { type Server, createServer } from "millrace/server";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { hmacToken } from "../support/rights/issuer.ts";
import { openRawWorker } from "../support/workers/raw-worker.ts";

const TOKEN = "a-long-secret";
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function serve(options: Parameters<typeof createServer>[0] = {}) {
  const server = await createServer({ port: 0, store: { kind: "in_memory" }, ...options });
  servers.push(server);
  return server;
}

/** Requests an upgrade. @returns 101, or the status of the refusal. */
function upgrade(url: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace("http", "ws"), { headers });
    socket.once("open", () => {
      socket.terminate();
      resolve(101);
    });
    socket.once("unexpected-response", (_request, response) => {
      resolve(response.statusCode ?? 0);
      response.resume();
      socket.terminate();
    });
    socket.once("error", reject);
    socket.on("error", () => {});
  });
}

describe("a worker connection", () => {
  it("needs a token over gRPC when tokens are configured (G8)", async () => {
    const { url } = await serve({ apiTokens: [TOKEN] });
    for (const headers of [{}, { authorization: "Bearer wrong" }]) {
      const refused = openRawWorker(url, headers);
      refused.send({ case: "hello", value: {} });
      expect((await refused.ended)?.code).toBe(Code.Unauthenticated);
    }
    const worker = registerWorker(url, { token: TOKEN });
    await worker.registerFunction("f", () => 1);
    expect(await worker.trigger({ function_id: "f" })).toBe(1);
    await worker.shutdown();
  });

  it("needs a token at /worker when tokens are configured (G8)", async () => {
    const { url } = await serve({ apiTokens: [TOKEN] });
    expect(await upgrade(`${url}/worker`)).toBe(401);
    expect(await upgrade(`${url}/worker/otel`)).toBe(401);
    expect(await upgrade(`${url}/worker`, { authorization: `Bearer ${TOKEN}` })).toBe(101);
    expect(await upgrade(`${url}/worker/`, { authorization: `Bearer ${TOKEN}` })).toBe(101);
  });

  it("ends when the token of its user expires, over gRPC and at /worker", async () => {
    const issuer = { algorithms: ["HS256"], secret: "s".repeat(32) } as const;
    const rules = [{ actions: ["work"] }];
    const { url, service } = await serve({ auth: { jwt: [issuer], rules } });
    const exp = (Date.now() + 400) / 1000;
    const claims = JSON.stringify({ sub: "ann", exp });
    const authorization = `Bearer ${hmacToken('{"alg":"HS256"}', claims, issuer.secret)}`;
    const socket = new WebSocket(`${url.replace("http", "ws")}/worker`, {
      headers: { authorization },
    });
    const closed = once(socket, "close");
    await once(socket, "open");
    const worker = openRawWorker(url, { authorization });
    worker.send({ case: "hello", value: {} });
    worker.send({ case: "registerFunction", value: { functionId: "f" } });
    const failure = await worker.ended;
    expect(failure?.code).toBe(Code.Unauthenticated);
    expect(failure?.rawMessage).toMatch(/expired/);
    await closed;
    expect(Date.now()).toBeGreaterThanOrEqual(Math.floor(exp * 1000));
    await expect(service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
  });

  it("is refused from a web page, unless its origin is allowed (G8)", async () => {
    const { url } = await serve();
    const own = url.replace("127.0.0.1", "localhost");
    for (const origin of ["https://evil.example", own, "null"])
      expect([origin, await upgrade(`${url}/worker`, { origin })]).toEqual([origin, 403]);
    expect(await upgrade(`${url}/worker`)).toBe(101);
    const origin = "https://tools.example";
    const open = await serve({ workerAllowedOrigins: [origin] });
    expect(await upgrade(`${open.url}/worker`, { origin })).toBe(101);
    expect(await upgrade(`${open.url}/worker`, { origin: "https://evil.example" })).toBe(403);
  });

  it.each([
    ["forwarded", "for=203.0.113.7"],
    ["x-forwarded-for", "203.0.113.7"],
    ["x-real-ip", "203.0.113.7"],
    ["via", "1.1 proxy"],
    ["sec-fetch-site", "cross-site"],
    ["sec-fetch-site", "same-site"],
  ])("is not trusted for its address with %s: %s (G8)", async (name, value) => {
    const server = await serve({ workerPort: 0 });
    const headers = { [name]: value };
    const workerUrl = `http://127.0.0.1:${server.workerPort}`;
    for (const url of [
      `${server.url}/worker`,
      `${server.url}/worker/otel`,
      `${workerUrl}/`,
      `${workerUrl}/worker`,
      `${workerUrl}/otel`,
    ])
      expect([url, await upgrade(url, headers)]).toEqual([url, 403]);
    for (const more of [{}, { "grpc-encoding": "gzip" }]) {
      const worker = openRawWorker(server.url, { ...headers, ...more });
      worker.send({ case: "hello", value: {} });
      expect((await worker.ended)?.code).toBe(Code.PermissionDenied);
    }
    // With a token, the address is irrelevant.
    const guarded = await serve({ apiTokens: [TOKEN], workerPort: 0 });
    const trusted = { ...headers, authorization: `Bearer ${TOKEN}` };
    expect(await upgrade(`${guarded.url}/worker`, trusted)).toBe(101);
    expect(await upgrade(`http://127.0.0.1:${guarded.workerPort}/`, trusted)).toBe(101);
  });

  it("does not call auth_function, which authenticates subscribers", async () => {
    let calls = 0;
    const { url } = await serve({
      authFunction: "who",
      setup: async (service) => {
        await service.registerFunction("who", () => {
          calls++;
          return null;
        });
      },
    });
    expect(await upgrade(`${url}/worker`)).toBe(101);
    expect(await upgrade(`${url}/stream/a/b`)).toBe(401);
    expect(calls).toBe(1);
  });

  it("is accepted at the root of a separate worker port", async () => {
    const server = await serve({ workerPort: 0 });
    const url = `http://127.0.0.1:${server.workerPort}`;
    expect(await upgrade(`${url}/`)).toBe(101);
    expect(await upgrade(`${url}/worker`)).toBe(101);
    expect(await upgrade(`${url}/otel`)).toBe(101);
    expect(await upgrade(`${url}/stream/a/b`)).toBe(404);
    expect(await upgrade(`${url}/`, { origin: "https://evil.example" })).toBe(403);
    expect((await fetch(url)).status).toBe(426);
  });

  it("that is reset while it is refused does not harm the service", async () => {
    const server = await serve({ workerPort: 0 });
    for (const port of [server.workerPort ?? 0, server.port]) {
      for (let i = 0; i < 20; i++) {
        const socket = connect(port, "127.0.0.1");
        await once(socket, "connect");
        socket.write(
          "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        socket.on("error", () => {});
        setImmediate(() => socket.resetAndDestroy());
        await once(socket, "close");
      }
    }
    expect(await upgrade(`http://127.0.0.1:${server.workerPort}/`)).toBe(101);
  });

  it("over HTTP/1.1 is refused with the protocols that it needs", async () => {
    const { url } = await serve();
    const response = await fetch(`${url}/millrace.v1.WorkerService/Connect`, {
      method: "POST",
      headers: { "content-type": "application/connect+json" },
      body: Buffer.from([0, 0, 0, 0, 2, 123, 125]),
    });
    expect(await response.text()).toContain("may be called over HTTP/2 with gRPC or Connect");
  });
});
