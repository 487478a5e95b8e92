import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, type Socket, connect, createServer as createNet } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { buffer } from "node:stream/consumers";
import { memoryStore } from "millrace";
import { createServer } from "millrace/server";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { doorNamed } from "../support/doors/doors.ts";
import { rawHttp1, rawHttp2 } from "../support/doors/raw-http.ts";
import { envelope, pathOf } from "../support/doors/raw-protocol.ts";
import { watchServerSockets } from "../support/doors/server-sockets.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { utf8 } from "../wire/request/raw-wire.ts";

const JSON_TYPE = { "content-type": "application/json" };
const GET = utf8('{"streamName":"s","groupId":"g","itemId":"i"}');
const HTTP1_GET = `POST ${pathOf("get")} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${GET.byteLength}\r\n\r\n${Buffer.from(GET).toString()}`;

/** The body of a Subscribe call over Connect. */
const FOLLOW = envelope(utf8('{"streamName":"s","groupId":"g"}'));

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
  await server.service.set({ streamName: "s", groupId: "g", itemId: "i", data: "there" });
});
afterAll(() => server.close());

/** A connection to the server that closes after the test. */
async function dial(): Promise<Socket> {
  const socket = connect(server.port, "127.0.0.1");
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Expects responses over both versions of HTTP. */
async function expectServing() {
  for (const client of [rawHttp1(server.url), rawHttp2(server.url)]) {
    const response = await client.request({ path: pathOf("get"), headers: JSON_TYPE, body: GET });
    expect(response.status).toBe(200);
    expect(JSON.parse(response.body.toString())).toMatchObject({ item: { data: "there" } });
    client.close();
  }
}

describe("one port", () => {
  it("serves HTTP/1.1 and HTTP/2 with prior knowledge, side by side", async () => {
    await Promise.all([expectServing(), expectServing(), expectServing()]);
  });

  it("detects the protocol of a connection whose first bytes arrive one by one", async () => {
    const trickle = createNet((near) => {
      const far = connect(server.port, "127.0.0.1");
      far.pipe(near);
      near.on("error", () => far.destroy());
      far.on("error", () => near.destroy());
      let passed = 0;
      near.on("data", (chunk: Buffer) => {
        near.pause();
        void (async () => {
          for (const byte of chunk) {
            far.write(Uint8Array.of(byte));
            // The first bytes each travel in a packet of their own.
            if (passed++ < 40) await turn();
          }
          near.resume();
        })();
      });
      near.on("end", () => far.end());
    });
    trickle.listen(0, "127.0.0.1");
    await once(trickle, "listening");
    onTestFinished(() => void trickle.close());
    const url = `http://127.0.0.1:${(trickle.address() as AddressInfo).port}`;
    for (const client of [rawHttp1(url), rawHttp2(url)]) {
      const response = await client.request({ path: pathOf("get"), headers: JSON_TYPE, body: GET });
      expect(response.status).toBe(200);
      client.close();
    }
  });

  it.each([
    ["nothing", ""],
    ["the beginning of the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nS"],
  ])("drops a connection that has sent %s for ten seconds", async (_, sent) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const sockets = watchServerSockets(server.port);
    const accepted = sockets.next();
    const socket = await dial();
    const serverSide = await accepted;
    if (sent !== "") {
      const received = once(serverSide, "data");
      socket.write(sent);
      await received;
    }
    vi.advanceTimersByTime(9_999);
    expect(serverSide.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(serverSide.destroyed).toBe(true);
    vi.useRealTimers();
    await once(socket, "close");
    await expectServing();
  });

  it.each([
    ["text", "hello?\r\n\r\n"],
    ["a TLS handshake", Buffer.from("160301020001000001fc0303", "hex")],
    ["zeros", Buffer.alloc(1000)],
    ["a preface with a wrong last byte", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"],
    [
      "the preface and then garbage",
      Buffer.concat([utf8("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.alloc(100, 0xff)]),
    ],
    [
      "a header that is too large",
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(100_000)}\r\n\r\n`,
    ],
    ["an HTTP/1.1 request without a host", "GET /healthz HTTP/1.1\r\n\r\n"],
  ])("rejects %s, and serves others", async (_, sent) => {
    const socket = await dial();
    const received = buffer(socket).catch(() => Buffer.alloc(0));
    socket.write(sent);
    const response = (await received).toString("latin1");
    expect(
      response === "" || /^HTTP\/1\.1 4\d\d /.test(response) || response.includes("\u0007"),
    ).toBe(true);
    expect(response).not.toMatch(/node:|Error|at /);
    await expectServing();
  });

  // A half-closed connection looks the same whether its program exited or would still read.
  it("ends a subscription whose client closes its side of the connection", async () => {
    const socket = await dial();
    socket.write(
      `POST ${pathOf("subscribe")} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\nContent-Length: ${FOLLOW.byteLength}\r\n\r\n`,
    );
    socket.write(FOLLOW);
    await once(socket, "readable");
    expect(server.store.watches).toBe(1);
    socket.end();
    await server.store.whenWatches(0);
  });

  it("responds to requests that arrive in one packet, in order", async () => {
    const socket = await dial();
    const received = buffer(socket);
    socket.write(
      `${HTTP1_GET}GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    expect((await received).toString()).toMatch(
      /^HTTP\/1\.1 200 [^]*there[^]*HTTP\/1\.1 200 [^]*serving/,
    );
  });

  it("reads a refused request to its end and serves the next one on its connection", async () => {
    const socket = await dial();
    const received = buffer(socket);
    const size = 12 * 1024 * 1024;
    socket.write(
      `POST ${pathOf("set")} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${size}\r\n\r\n`,
    );
    for (let sent = 0; sent < size; sent += 65_536)
      if (!socket.write(Buffer.alloc(65_536, "x"))) await once(socket, "drain");
    socket.write(HTTP1_GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    expect((await received).toString()).toMatch(
      /^HTTP\/1\.1 400 [^]*4194304 bytes[^]*HTTP\/1\.1 200 [^]*there/,
    );
  });

  it("responds with 404 at other paths and names the path of the service", async () => {
    for (const client of [rawHttp1(server.url), rawHttp2(server.url)]) {
      const response = await client.request({ method: "GET", path: "/nowhere?x=1" });
      expect(response.status).toBe(404);
      expect(response.body.toString()).toContain("/millrace.v1.StreamService/");
      client.close();
    }
  });

  it("reports its health at /healthz", async () => {
    for (const client of [rawHttp1(server.url), rawHttp2(server.url)]) {
      const healthy = await client.request({ method: "GET", path: "/healthz" });
      expect(healthy.status).toBe(200);
      expect(JSON.parse(healthy.body.toString())).toEqual({ status: "serving" });
      const head = await client.request({ method: "HEAD", path: "/healthz" });
      expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) });
      expect((await client.request({ path: "/healthz", body: utf8("") })).status).toBe(405);
      client.close();
    }
  });
});

describe("an HTTP/2 connection", () => {
  it("serves calls while many of its subscriptions are not read", async () => {
    const session = connectHttp2(server.url);
    onTestFinished(() => session.destroy());
    const open = (method: string, type: string, body: Uint8Array) => {
      const stream = session.request({
        ":method": "POST",
        ":path": pathOf(method),
        "content-type": `application/${type}`,
      });
      stream.end(body);
      return stream;
    };
    // Node reads a stream only on demand, so none of these is read.
    const streams = Array.from({ length: 30 }, () => open("subscribe", "connect+json", FOLLOW));
    await Promise.all(streams.map((stream) => once(stream, "response")));
    await server.service.set({
      streamName: "s",
      groupId: "g",
      itemId: "large",
      data: "x".repeat(1_000_000),
    });
    await turn();
    const stream = open("get", "json", Buffer.from(GET));
    const [headers] = (await once(stream, "response")) as [{ ":status"?: number }];
    expect(headers[":status"]).toBe(200);
    expect((await buffer(stream)).toString()).toContain("there");
  });
});

describe("a transport that accepts nothing", () => {
  it.each(["1.1", "2"] as const)(
    "is cut over HTTP/%s once its subscription stalls",
    async (version) => {
      let skewMs = 0;
      const slow = await startServer("memory", {
        subscriberQueue: { maxFrames: 1 },
        heartbeatIntervalMs: 100,
        history: { maxBytes: 64 * 1024 * 1024 },
        now: () => Date.now() + skewMs,
      });
      onTestFinished(() => slow.close());
      const sockets = watchServerSockets(slow.port);
      const accepted = sockets.next();
      let cut: Promise<unknown>;
      if (version === "2") {
        const session = connectHttp2(slow.url);
        onTestFinished(() => session.destroy());
        const stream = session.request({
          ":method": "POST",
          ":path": pathOf("subscribe"),
          "content-type": "application/connect+json",
        });
        stream.end(FOLLOW);
        await once(stream, "response");
        cut = once(stream, "close").then(
          () => undefined,
          (error: unknown) => error,
        );
      } else {
        const socket = connect(slow.port, "127.0.0.1");
        onTestFinished(() => void socket.destroy());
        socket.write(
          `POST ${pathOf("subscribe")} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\nContent-Length: ${FOLLOW.byteLength}\r\n\r\n`,
        );
        socket.write(FOLLOW);
        await once(socket, "readable");
        socket.pause();
        cut = once(await accepted, "close");
      }
      for (let i = 0; i < 30; i++) {
        await slow.service.set({
          streamName: "s",
          groupId: "g",
          itemId: "i",
          data: "x".repeat(512 * 1024),
        });
        await turn();
      }
      const hurry = setInterval(() => (skewMs += 61_000), 50);
      onTestFinished(() => clearInterval(hurry));
      await slow.store.whenWatches(0);
      const how = await cut;
      if (version === "2")
        expect(how).toMatchObject({
          message: expect.stringContaining("NGHTTP2_ENHANCE_YOUR_CALM"),
        });
    },
  );
});

describe("a start", () => {
  it("on a port in use names the port and the remedy, and closes the store", async () => {
    const store = memoryStore();
    const closed = vi.spyOn(store, "close");
    const start = createServer({ port: server.port, store });
    await expect(start).rejects.toThrow(
      `port ${server.port} on 127.0.0.1 is in use; stop the other program, or choose another`,
    );
    expect(closed).toHaveBeenCalled();
    await expectServing();
  });

  it.each([
    ["192.0.2.1", "192.0.2.1 is not an address of this machine"],
    ["no-such-host.invalid", "no-such-host.invalid is not known"],
  ])("on host %s names the host in its error", async (host, sentence) => {
    const start = createServer({ host, port: 0, store: memoryStore(), insecure: true });
    await expect(start).rejects.toThrow(sentence);
  });

  it("on an invalid port names the port in its error", async () => {
    const start = createServer({ port: 65_536, store: memoryStore() });
    await expect(start).rejects.toThrow("65536");
  });

  it("on a folder that is unusable or in use names the folder in its error", async () => {
    const parent = await mkdtemp(join(tmpdir(), "millrace-doors-"));
    onTestFinished(() => rm(parent, { recursive: true }));
    await writeFile(join(parent, "file"), "");
    const start = (folder: string) =>
      createServer({ port: 0, store: { kind: "file_based", folder } });
    const within = join(parent, "file", "data");
    await expect(start(within)).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: expect.stringContaining(within),
    });
    const folder = join(parent, "data");
    const first = await start(folder);
    onTestFinished(() => first.close());
    await expect(start(folder)).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: expect.stringContaining(folder),
    });
    await first.service.set({ streamName: "s", groupId: "g", itemId: "i", data: 1 });
  });
});

describe("a stop", () => {
  it("does not wait for idle connections", { timeout: 4000 }, async () => {
    const idle = await startServer();
    const http1 = rawHttp1(idle.url);
    const http2 = rawHttp2(idle.url);
    onTestFinished(() => {
      http1.close();
      http2.close();
    });
    for (const client of [http1, http2]) await client.request({ method: "GET", path: "/healthz" });
    const silent = connect(idle.port, "127.0.0.1");
    await once(silent, "connect");
    const gone = once(silent, "close");
    await idle.server.close();
    await gone;
  });

  it("cuts unfinished calls after the grace period", { timeout: 9000 }, async () => {
    const stuck = await startServer();
    const client = doorNamed("grpc").client(stuck);
    onTestFinished(() => client.close());
    const held = stuck.store.hold("get");
    const failed = client.get({ streamName: "s", groupId: "g", itemId: "i" }).catch(String);
    await held.reached;
    await stuck.server.close();
    expect(await failed).toContain("DoorError");
    held.release();
  });
});
