import { once } from "node:events";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { rawHttp2 } from "../support/doors/raw-http.ts";
import { pathOf } from "../support/doors/raw-protocol.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { part } from "../wire/request/raw-wire.ts";

const BODY = '{"streamName":"s","groupId":"g","itemId":"i"}';
const WEBSOCKET =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
  await server.service.set({ streamName: "s", groupId: "g", itemId: "i", data: "there" });
});
afterAll(() => server.close());

/** Sends a request over HTTP/1.1 and returns everything received until the connection closes. */
async function exchange(text: string): Promise<string> {
  const socket = connect(server.port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.write(text);
  return (await buffer(socket)).toString();
}

const get = (target: string, headers: string) =>
  `POST ${target} HTTP/1.1\r\n${headers}Content-Type: application/json\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n${BODY}`;

const MALFORMED = [
  ["none", ""],
  ["an empty host", "Host: \r\n"],
  ["two", "Host: localhost\r\nHost: localhost\r\n"],
  ["two different ones", "Host: localhost\r\nHost: evil.example\r\n"],
  ["two in one header", "Host: localhost, evil.example\r\n"],
  ["with a user", "Host: user@localhost\r\n"],
  ["with a path", "Host: localhost/x\r\n"],
  ["with a query", "Host: localhost?x\r\n"],
  ["with a port that is not a number", "Host: localhost:http\r\n"],
  ["with a port that is too large", "Host: localhost:65536\r\n"],
  ["with two ports", "Host: localhost:1:2\r\n"],
  ["with an unclosed bracket", "Host: [::1\r\n"],
] as const;

describe("a request over HTTP/1.1", () => {
  it.each(MALFORMED)("is refused with 400 for a malformed host: %s", async (_, host) => {
    expect(await exchange(get(pathOf("get"), host))).toMatch(
      /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nBad request: host is [^]*\.\n$/,
    );
    expect(await exchange(`GET / HTTP/1.1\r\n${host}${WEBSOCKET}\r\n`)).toMatch(
      /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nBad request: host is [^]*\.\n$/,
    );
  });

  it.each(["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]:3112", "[::1]"])(
    "is served for host %s",
    async (host) => {
      expect(await exchange(get(pathOf("get"), `Host: ${host}\r\n`))).toMatch(
        /^HTTP\/1\.1 200 OK[^]*there/,
      );
    },
  );

  it("needs no host in HTTP/1.0", async () => {
    expect(await exchange("GET /healthz HTTP/1.0\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 200 OK[^]*serving/,
    );
  });

  it("is refused for a repeated authorization or origin, whatever its first value", async () => {
    const guarded = await startServer("memory", { apiTokens: ["secret"] });
    onTestFinished(() => guarded.close());
    const socket = connect(guarded.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    const doubled = "Authorization: Bearer secret\r\nAuthorization: Bearer other\r\n";
    socket.write(get(pathOf("get"), `Host: localhost\r\n${doubled}`));
    expect((await buffer(socket)).toString()).toMatch(/^HTTP\/1\.1 401 /);
    const origins = "Origin: http://localhost\r\nOrigin: https://evil.example\r\n";
    expect(await exchange(get(pathOf("get"), `Host: localhost\r\n${origins}`))).toMatch(
      /^HTTP\/1\.1 403 /,
    );
  });

  it("is served with a target in absolute form, whose host takes precedence", async () => {
    const target = (host: string) => `http://${host}${pathOf("get")}`;
    expect(await exchange(get(target("localhost"), "Host: localhost\r\n"))).toMatch(/there/);
    expect(await exchange(get(target("LocalHost:80"), "Host: evil.example\r\n"))).toMatch(/there/);
    expect(await exchange(get(target("evil.example"), "Host: localhost\r\n"))).toMatch(
      /^HTTP\/1\.1 403 /,
    );
    expect(await exchange(get(target("a@localhost"), "Host: localhost\r\n"))).toMatch(
      /^HTTP\/1\.1 400 /,
    );
    expect(
      await exchange(
        "GET http://localhost/healthz?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
      ),
    ).toMatch(/serving/);
    expect(
      await exchange("GET http://localhost HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    ).toMatch(/^HTTP\/1\.1 404 /);
    const socket = connect(server.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.write(`GET ws://localhost/ HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}\r\n`);
    const [first] = (await once(socket, "data")) as [Buffer];
    expect(first.toString()).toMatch(/^HTTP\/1\.1 101 /);
  });
});

describe("a request over HTTP/2", () => {
  const types = ["application/grpc", "application/json", "application/connect+json"];
  it.each(types)("of %s is refused with 400 for a malformed host", async (type) => {
    const client = rawHttp2(server.url);
    onTestFinished(() => client.close());
    for (const [name, headers] of [
      [":authority", { ":authority": "localhost, evil.example" }],
      [":authority", { ":authority": "user@localhost" }],
      [":authority", { ":authority": "localhost:65536" }],
      ["host", { ":authority": "localhost", host: "evil.example" }],
      ["host", { host: "localhost:http" }],
    ] as const) {
      const response = await client
        .request({
          path: pathOf("get"),
          headers: { "content-type": type, ...headers },
          body: part(1, "s"),
        })
        .catch(String);
      // The HTTP/2 layer refuses some as malformed requests.
      if (typeof response === "string") expect(response).toContain("PROTOCOL_ERROR");
      else {
        expect([headers, response.status]).toEqual([headers, 400]);
        expect(response.body.toString()).toContain(name);
      }
    }
    const served = await client.request({
      method: "GET",
      path: "/healthz",
      headers: { host: "localhost", ":authority": "localhost" },
    });
    expect(served.status).toBe(200);
  });
});
