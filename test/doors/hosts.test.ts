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

/** Sends a request over HTTP/1.1 and gives back all that comes until the connection closes. */
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
  ["an empty one", "Host: \r\n"],
  ["two", "Host: localhost\r\nHost: localhost\r\n"],
  ["two different ones", "Host: localhost\r\nHost: evil.example\r\n"],
  ["two in one", "Host: localhost, evil.example\r\n"],
  ["one with a user", "Host: user@localhost\r\n"],
  ["one with a path", "Host: localhost/x\r\n"],
  ["one with a query", "Host: localhost?x\r\n"],
  ["one with a port that is none", "Host: localhost:http\r\n"],
  ["one with a port that is too large", "Host: localhost:65536\r\n"],
  ["one with two ports", "Host: localhost:1:2\r\n"],
  ["one with half a bracket", "Host: [::1\r\n"],
] as const;

describe("over HTTP/1.1", () => {
  it.each(MALFORMED)(
    "a request with a malformed host (%s) is refused with 400",
    async (_, host) => {
      expect(await exchange(get(pathOf("get"), host))).toMatch(
        /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nBad request: host is [^]*\.\n$/,
      );
      expect(await exchange(`GET / HTTP/1.1\r\n${host}${WEBSOCKET}\r\n`)).toMatch(
        /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nBad request: host is [^]*\.\n$/,
      );
    },
  );

  it.each(["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]:3112", "[::1]"])(
    "host %s is served",
    async (host) => {
      expect(await exchange(get(pathOf("get"), `Host: ${host}\r\n`))).toMatch(
        /^HTTP\/1\.1 200 OK[^]*there/,
      );
    },
  );

  it("HTTP/1.0 needs no host", async () => {
    expect(await exchange("GET /healthz HTTP/1.0\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 200 OK[^]*serving/,
    );
  });

  it("a doubled authorization or origin is not read as its first value", async () => {
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

  it("a target in absolute form is served, and its host counts", async () => {
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

describe("over HTTP/2", () => {
  const types = ["application/grpc", "application/json", "application/connect+json"];
  it.each(types)("a request of %s with a malformed host is refused with 400", async (type) => {
    const client = rawHttp2(server.url);
    onTestFinished(() => client.close());
    for (const [name, headers] of [
      [":authority", { ":authority": "localhost, evil.example" }],
      [":authority", { ":authority": "user@localhost" }],
      [":authority", { ":authority": "localhost:65536" }],
      ["host", { ":authority": "localhost", host: "evil.example" }],
      ["host", { host: "localhost:http" }],
    ] as const) {
      const answer = await client
        .request({
          path: pathOf("get"),
          headers: { "content-type": type, ...headers },
          body: part(1, "s"),
        })
        .catch(String);
      // Some are refused by the protocol layer, as a malformed request.
      if (typeof answer === "string") expect(answer).toContain("PROTOCOL_ERROR");
      else {
        expect([headers, answer.status]).toEqual([headers, 400]);
        expect(answer.body.toString()).toContain(name);
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
