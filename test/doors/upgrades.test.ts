import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { envelope, pathOf } from "../support/doors/raw-protocol.ts";
import { watchServerSockets } from "../support/doors/server-sockets.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { utf8 } from "../wire/request/raw-wire.ts";

const HOST = "Host: localhost\r\n";
const H2C =
  "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
const WEBSOCKET =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
const HEALTH = `GET /healthz HTTP/1.1\r\n${HOST}\r\n`;
const UPGRADE = `GET / HTTP/1.1\r\n${HOST}${WEBSOCKET}\r\n`;
const GET = '{"streamName":"s","groupId":"g","itemId":"i"}';
const JOIN = '{"type":"join","data":{"subscriptionId":"a","streamName":"s","groupId":"g"}}';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
  await server.service.set({ streamName: "s", groupId: "g", itemId: "i", data: "there" });
});
afterAll(() => server.close());

/** A connection that can wait for the bytes it receives. */
interface Wire {
  readonly socket: Socket;
  send(...parts: readonly (string | Uint8Array)[]): void;
  /** Resolves with everything received so far as soon as it matches, and forgets it. */
  until(pattern: RegExp): Promise<string>;
}

async function dial(port = server.port): Promise<Wire> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  let received = "";
  let changed = () => {};
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    changed();
  });
  socket.on("close", () => changed());
  return {
    socket,
    send: (...parts) => void socket.write(Buffer.concat(parts.map((part) => Buffer.from(part)))),
    async until(pattern) {
      while (!pattern.test(received)) {
        if (socket.closed) throw new Error(`closed after: ${received}`);
        await new Promise<void>((resolve) => (changed = resolve));
      }
      const matched = received;
      received = "";
      return matched;
    },
  };
}

const getRequest = (more = "", chunked = false) =>
  `POST ${pathOf("get")} HTTP/1.1\r\n${HOST}${more}Content-Type: application/json\r\n` +
  (chunked
    ? `Transfer-Encoding: chunked\r\n\r\n${GET.length.toString(16)}\r\n${GET}\r\n0\r\n\r\n`
    : `Content-Length: ${GET.length}\r\n\r\n${GET}`);

const subscribeRequest = (groupId = "g") => {
  const body = envelope(utf8(JSON.stringify({ streamName: "s", groupId })));
  const head = `POST ${pathOf("subscribe")} HTTP/1.1\r\n${HOST}Content-Type: application/connect+json\r\nContent-Length: ${body.byteLength}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
};

/** A text frame of a client, masked with zeros. */
const textFrame = (text: string) =>
  Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);

const HEALTHY = /^HTTP\/1\.1 200 OK\r\n[^]*"serving"/;
const FOUND = /^HTTP\/1\.1 200 OK\r\n[^]*"there"/;
const SWITCHED = /^HTTP\/1\.1 101 Switching Protocols\r\n/;

/** Upgrades, joins and expects the group's state. */
async function expectWebSocket(wire: Wire) {
  wire.send(UPGRADE);
  await wire.until(SWITCHED);
  wire.send(textFrame(JOIN));
  expect(await wire.until(/"sync"/)).toContain("there");
}

describe("a WebSocket upgrade", () => {
  it("is accepted on a connection that already carried requests", async () => {
    const wire = await dial();
    wire.send(HEALTH);
    await wire.until(HEALTHY);
    wire.send(getRequest());
    await wire.until(FOUND);
    wire.send(getRequest("", true));
    await wire.until(FOUND);
    await expectWebSocket(wire);
  });

  it("of a worker is accepted on a connection that already carried requests", async () => {
    const wire = await dial();
    wire.send(HEALTH);
    await wire.until(HEALTHY);
    wire.send(UPGRADE.replace("GET /", "GET /worker"));
    await wire.until(SWITCHED);
  });

  it("is accepted with frames right behind it, and pipelined behind a request", async () => {
    const wire = await dial();
    wire.send(HEALTH, UPGRADE, textFrame(JOIN));
    expect(await wire.until(/"sync"/)).toMatch(
      /^HTTP\/1\.1 200 OK[^]*"serving"}\nHTTP\/1\.1 101 [^]*there/,
    );
  });

  it("waits for the responses to requests before it", async () => {
    const held = server.store.hold("get");
    const wire = await dial();
    wire.send(getRequest(), HEALTH, UPGRADE, textFrame(JOIN));
    await held.reached;
    expect(wire.socket.bytesRead).toBe(0);
    held.release();
    expect(await wire.until(/"sync"/)).toMatch(
      /^HTTP\/1\.1 200 OK[^]*"there"[^]*HTTP\/1\.1 200 OK[^]*"serving"}\nHTTP\/1\.1 101 [^]*there/,
    );
  });

  it("at a path without WebSockets gets the response of an ordinary request", async () => {
    const wire = await dial();
    wire.send(`GET /nowhere HTTP/1.1\r\n${HOST}${WEBSOCKET}\r\n`);
    await wire.until(/^HTTP\/1\.1 404 Not Found\r\n[^]*demo/);
    wire.send(getRequest(WEBSOCKET));
    await wire.until(FOUND);
    await expectWebSocket(wire);
  });
});

describe("an upgrade to another protocol", () => {
  it("is ignored and its request served, with any kind of body", async () => {
    const wire = await dial();
    for (let i = 0; i < 3; i++) {
      wire.send(HEALTH.replace(HOST, HOST + H2C));
      await wire.until(HEALTHY);
      wire.send(getRequest(H2C));
      await wire.until(FOUND);
      wire.send(getRequest(H2C, true));
      await wire.until(FOUND);
    }
    await expectWebSocket(wire);
  });

  it("loses none of the bytes behind it, in one packet or in many", async () => {
    const requests = [getRequest(H2C), getRequest(H2C, true), HEALTH, getRequest(), UPGRADE];
    const RESPONSES =
      /^(?:HTTP\/1\.1 200 OK[^]*?"there"[^]*?){2}HTTP\/1\.1 200 OK[^]*?"serving"}\nHTTP\/1\.1 200 OK[^]*?"there"[^]*?HTTP\/1\.1 101 /;
    const whole = await dial();
    whole.send(...requests);
    await whole.until(RESPONSES);
    const split = await dial();
    split.socket.setNoDelay(true);
    const bytes = requests.join("");
    for (let at = 0; at < bytes.length; at += 97) {
      split.send(bytes.slice(at, at + 97));
      await sleep(1);
    }
    await split.until(RESPONSES);
  });

  it("waits for the responses to earlier requests", async () => {
    const held = server.store.hold("get");
    const wire = await dial();
    wire.send(getRequest(), HEALTH.replace(HOST, HOST + H2C), HEALTH);
    await held.reached;
    held.release();
    await wire.until(/^HTTP\/1\.1 200 OK[^]*"there"(?:[^]*HTTP\/1\.1 200 OK[^]*"serving"){2}/);
  });

  it("with a Subscribe call starts a subscription, which ends with its connection", async () => {
    const wire = await dial();
    const request = subscribeRequest()
      .toString("latin1")
      .replace(HOST, HOST + H2C);
    wire.send(Buffer.from(request, "latin1"));
    await wire.until(/sync/);
    expect(server.store.watches).toBe(1);
    wire.socket.destroy();
    await server.store.whenWatches(0);
  });

  it("leaves no listeners behind on its connection", async () => {
    const sockets = watchServerSockets(server.port);
    const accepted = sockets.next();
    const wire = await dial();
    const serverSide = await accepted;
    const listeners = () =>
      serverSide.eventNames().map((name) => [name, serverSide.listenerCount(name)]);
    const ask = async () => {
      wire.send(getRequest(H2C));
      await wire.until(FOUND);
    };
    await ask();
    const before = listeners();
    for (let i = 0; i < 30; i++) await ask();
    expect(listeners()).toEqual(before);
  });

  it("does not delay a stop", { timeout: 4000 }, async () => {
    const idle = await startServer();
    const wire = await dial(idle.port);
    wire.send(HEALTH.replace(HOST, HOST + H2C));
    await wire.until(HEALTHY);
    const closed = once(wire.socket, "close");
    await idle.close();
    await closed;
  });
});

describe("pipelined requests", () => {
  it("are all cancelled when their connection closes", async () => {
    const wire = await dial();
    wire.send(subscribeRequest("g"), subscribeRequest("h"));
    await wire.until(/sync/);
    while (server.store.watches < 2) await sleep(5);
    wire.socket.destroy();
    await server.store.whenWatches(0);
  });

  it("are all cancelled when their connection closes while an upgrade waits for them", async () => {
    const wire = await dial();
    wire.send(subscribeRequest("g"), subscribeRequest("h"), UPGRADE);
    await wire.until(/sync/);
    while (server.store.watches < 2) await sleep(5);
    wire.socket.destroy();
    await server.store.whenWatches(0);
  });
});
