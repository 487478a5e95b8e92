import { once } from "node:events";
import { createServer as createHttp1 } from "node:http";
import { type ServerHttp2Stream, createServer } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { type ServerOptions, createServer as createMillrace } from "millrace/server";
import { afterEach, describe, expect, it } from "vitest";
import { Chorus, Follower } from "../../bench/load/chorus.mjs";
import { splitEnvelope } from "../../bench/load/envelopes.mjs";
import { smallValue, unaryRequests, valueOf } from "../../bench/load/requests.mjs";
import { disperse, gather, broadcast } from "../../bench/load/fan-out.mjs";
import { joins, snapshot } from "../../bench/load/snapshot.mjs";
import { unary } from "../../bench/load/unary.mjs";
import { fill, write } from "../../bench/load/write.mjs";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const WHERE = { groups: 5, itemsPerGroup: 4 };
/** Every request once. */
const ONCE = { method: "Set", inFlight: 8, where: WHERE } as const;

async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function millrace(options: ServerOptions = {}) {
  const server = await createMillrace({ port: 0, store: { kind: "in_memory" }, ...options });
  closers.push(async () => server.close());
  return server;
}

/** A server of HTTP/2 that does the same with every request. */
async function answering(answer: (stream: ServerHttp2Stream, body: Buffer) => void) {
  const server = createServer();
  server.on("stream", (stream) => {
    const chunks: Buffer[] = [];
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => answer(stream, Buffer.concat(chunks)));
  });
  return listening(server);
}

function respond(stream: ServerHttp2Stream, body: Buffer, status: string, http = 200): void {
  stream.respond({ ":status": http }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
  stream.end(body);
}

describe("requests", () => {
  it("have the sizes that the tables name", () => {
    expect(JSON.stringify(smallValue(7))).toHaveLength(62);
    expect(JSON.stringify(valueOf(7, 256))).toHaveLength(256);
    const sizes = unaryRequests("Set", WHERE).map(({ message }) => message.byteLength);
    for (const size of sizes) expect(Math.abs(size - 96)).toBeLessThanOrEqual(10);
  });
});

describe("unary calls", () => {
  it.each(["grpc", "connect", "connect-http1"] as const)(
    "do what they say: %s",
    async (protocol) => {
      const { url, service } = await millrace();
      const load = { ...ONCE, url, protocol };
      const { ops } = await unary(load);
      expect(ops).toBe(20);
      const found = await service.get({ streamName: "bench", groupId: "g000002", itemId: "i3" });
      expect(found?.data).toEqual(smallValue(17));
      expect((await unary({ ...load, method: "Get" })).ops).toBe(20);
      expect((await unary({ ...load, method: "Update" })).ops).toBe(20);
    },
  );

  it("fail at an answer of gRPC with an error", async () => {
    for (const body of [Buffer.alloc(0), Buffer.from([0, 0, 0, 0, 0])]) {
      const url = await answering((stream) => respond(stream, body, "13"));
      await expect(unary({ ...ONCE, url, protocol: "grpc" })).rejects.toThrow("a failure status");
    }
  });

  it("fail at an error without an answer", async () => {
    const url = await answering((stream) =>
      stream.respond({ ":status": 200, "grpc-status": "16" }, { endStream: true }),
    );
    await expect(unary({ ...ONCE, url, protocol: "grpc" })).rejects.toThrow("a failure status");
  });

  it("fail at a status of HTTP", async () => {
    const url = await answering((stream, body) => respond(stream, body, "0", 503));
    for (const protocol of ["grpc", "connect"] as const)
      await expect(unary({ ...ONCE, url, protocol })).rejects.toThrow("a failure status");
    const http1 = createHttp1((_, response) => response.writeHead(503).end());
    await expect(
      unary({ ...ONCE, url: await listening(http1), protocol: "connect-http1" }),
    ).rejects.toThrow("503");
  });

  it("fail at an answer to something else", async () => {
    const url = await answering((stream) => respond(stream, Buffer.from([0, 0, 0, 0, 1, 7]), "0"));
    await expect(unary({ ...ONCE, url, protocol: "grpc" })).rejects.toThrow(
      "the response lacks n0",
    );
  });

  it("fail at a refusal of ours", async () => {
    const { url } = await millrace({ apiTokens: ["t0ken"] });
    for (const protocol of ["grpc", "connect", "connect-http1"] as const)
      await expect(unary({ ...ONCE, url, protocol })).rejects.toThrow("Set: ");
  });

  it("fail when the server goes away", async () => {
    // Not during the call: Node 22 crashes when data follows for a stream of a destroyed session.
    const url = await answering((stream) => setImmediate(() => stream.session?.destroy()));
    await expect(unary({ ...ONCE, url, protocol: "grpc" })).rejects.toThrow("Set: ");
  });
});

describe("streams of writes", () => {
  const load = { streams: 2, inFlight: 50, seconds: 0.1, where: WHERE, valueBytes: 256 };

  it("count what was acknowledged, all of which took effect", async () => {
    const { url, service } = await millrace();
    const { ops } = await write({ ...load, url });
    const groups = await Promise.all(
      Array.from({ length: WHERE.groups }, async (_, i) =>
        service.list({ streamName: "bench", groupId: `g00000${i}` }),
      ),
    );
    expect(groups.reduce((sum, { position }) => sum + position.revision, 0)).toBe(ops);
  });

  it("fail at an error of one request", async () => {
    const { url } = await millrace();
    await expect(write({ ...load, url, valueBytes: 2 ** 20 + 64 })).rejects.toThrow(
      "VALUE_TOO_LARGE",
    );
  });
});

describe("snapshots", () => {
  it("are whole, over both doors", async () => {
    const { url } = await millrace();
    await fill({ url, groups: 2, itemsPerGroup: 1500 });
    for (const door of ["grpc", "websocket"] as const) {
      expect((await snapshot({ url, door, items: 1500 })).ops).toBe(1);
      await expect(snapshot({ url, door, items: 1501 })).rejects.toThrow(
        "a snapshot of 1500 items",
      );
    }
  });

  it("are what joins wait for", async () => {
    const { url } = await millrace();
    await fill({ url, groups: 3, itemsPerGroup: 10 });
    const load = { url, inFlight: 4, seconds: 0.1 };
    const where = { groups: 3, itemsPerGroup: 10 };
    expect((await joins({ ...load, where })).ops).toBeGreaterThan(0);
    const wrong = joins({ ...load, where: { ...where, itemsPerGroup: 11 } });
    await expect(wrong).rejects.toThrow("a join with 10 items");
  });
});

describe("crowds", () => {
  it.each(["bridge", "grpc"] as const)("receive everything: %s", async (kind) => {
    const { url } = await millrace();
    await gather({ name: kind, url, kind, followers: 20 });
    expect((await broadcast({ name: kind, seconds: 0.1, window: 4 })).ops % 20).toBe(0);
    // As many as the machine sends within the time.
    const { ops } = await broadcast({ name: kind, seconds: 0.1, rate: 50 });
    expect([20, 40, 60, 80, 100]).toContain(ops);
    disperse({ name: kind });
  });

  it("fail when the server goes away", async () => {
    const server = await millrace();
    await gather({ name: "cut", url: server.url, kind: "bridge", followers: 3 });
    await server.close();
    await expect(broadcast({ name: "cut", seconds: 0.1, window: 1 })).rejects.toThrow();
    disperse({ name: "cut" });
  });
});

describe("a chorus", () => {
  const marked = (event: number) => {
    const text = Buffer.from(`event ${event}!`);
    return Buffer.concat([Buffer.from([0, 0, 0, 0, text.byteLength]), text]);
  };
  const sung = (followers: number, events: number) => {
    const chorus = new Chorus(splitEnvelope, (event) => `event ${event}!`);
    chorus.followers = Array.from({ length: followers }, () => new Follower());
    for (let i = 0; i < events; i++) chorus.sent(performance.now());
    return chorus;
  };
  const all = Buffer.concat([marked(0), marked(1), marked(2)]);

  it("counts deliveries however the bytes are cut", async () => {
    const chorus = sung(3, 3);
    const [first, second, third] = chorus.followers as [Follower, Follower, Follower];
    chorus.take(first, all);
    for (const byte of all) chorus.take(second, Buffer.from([byte]));
    expect(chorus.pending).toBe(3);
    chorus.take(third, all.subarray(0, 20));
    expect(chorus.pending).toBe(2);
    chorus.take(third, all.subarray(20));
    await chorus.fewerThan(1);
    expect(chorus.latencies.count).toBe(9);
  });

  it.each([
    ["other bytes", Buffer.concat([marked(0), marked(2)])],
    ["an event that was not sent", Buffer.concat([all, marked(3)])],
  ])("fails when a follower receives %s", async (_, bytes) => {
    const chorus = sung(2, 3);
    const [first, second] = chorus.followers as [Follower, Follower];
    chorus.take(first, all);
    chorus.take(second, bytes);
    await expect(chorus.fewerThan(1)).rejects.toThrow("a follower received");
  });

  it("fails when the first follower that receives an event receives a wrong one", async () => {
    const chorus = sung(1, 3);
    chorus.take(chorus.followers[0] as Follower, marked(1));
    await expect(chorus.fewerThan(1)).rejects.toThrow("other than event event 0!");
  });
});
