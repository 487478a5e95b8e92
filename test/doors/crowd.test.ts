import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { memoryStore } from "millrace";
import { createServer } from "millrace/server";
import { watchServerSockets } from "../support/doors/server-sockets.ts";

const MAX = 50;
const GET = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

async function start() {
  const server = await createServer({
    port: 0,
    store: memoryStore(),
    callerLimits: { maxUnsettledConnections: MAX },
  });
  onTestFinished(() => server.close());
  return server.port;
}

/** A connection from one of the addresses of this machine, after its first bytes. */
async function dial(
  port: number,
  localAddress: string,
  first: string | Buffer = "",
): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  if (first.length > 0) socket.write(first);
  return socket;
}

/** Whether a connection gets a response. */
const isServed = (socket: Socket) =>
  new Promise<boolean>((resolve) => {
    socket.once("data", (chunk: Buffer) => resolve(chunk.toString().startsWith("HTTP/1.1 200")));
    socket.once("close", () => resolve(false));
    socket.write(GET);
  });

const many = <T>(count: number, make: () => Promise<T>) =>
  Promise.all(Array.from({ length: count }, make));

describe("connections that send no request", () => {
  it.each([
    ["silent", ""],
    ["half of a request", GET.slice(0, 20)],
    ["only the HTTP/2 preface", PREFACE],
  ])("neither crowd out others nor accumulate: %s", async (_, first) => {
    const port = await start();
    const served = watchServerSockets(port);
    await many(4 * MAX, () => dial(port, "127.0.0.2", first));
    // Connections are dropped first from the address that has the most.
    const slow = await many(MAX / 5, () => dial(port, "127.0.0.1"));
    await many(MAX, () => dial(port, "127.0.0.2", first));
    expect(await Promise.all(slow.map(isServed))).toEqual(slow.map(() => true));
    // The crowding address is served, too, if it sends its request in time.
    expect(await isServed(await dial(port, "127.0.0.2"))).toBe(true);
    const open = () => served.all.filter(({ destroyed }) => !destroyed).length;
    await expect.poll(open).toBeLessThanOrEqual(MAX + slow.length + 1);
  });

  it("do not displace connections that have sent one", async () => {
    const port = await start();
    const idle = await many(2 * MAX, async () => {
      const socket = await dial(port, "127.0.0.1");
      expect(await isServed(socket)).toBe(true);
      return socket;
    });
    const http2 = await many(2 * MAX, async () => {
      const socket = await dial(port, "127.0.0.1", Buffer.concat([Buffer.from(PREFACE), SETTINGS]));
      await once(socket, "data");
      return socket;
    });
    await many(2 * MAX, () => dial(port, "127.0.0.1"));
    expect(await isServed(await dial(port, "127.0.0.1"))).toBe(true);
    expect(await Promise.all(idle.map(isServed))).toEqual(idle.map(() => true));
    expect(http2.filter(({ destroyed }) => destroyed)).toEqual([]);
  });
});

describe("the worker port", () => {
  async function startWorkerPort(): Promise<number> {
    const server = await createServer({
      port: 0,
      workerPort: 0,
      store: memoryStore(),
      callerLimits: { maxUnsettledConnections: MAX },
    });
    onTestFinished(() => server.close());
    return server.workerPort ?? 0;
  }

  it.each([
    ["silent", ""],
    ["half of a request", GET.slice(0, 20)],
  ])("drops connections that send no request: %s", async (_, first) => {
    const port = await startWorkerPort();
    const sockets = await many(4 * MAX, () => dial(port, "127.0.0.2", first));
    for (const socket of sockets) socket.resume();
    const open = () => sockets.filter(({ closed }) => !closed).length;
    await expect.poll(open).toBeLessThanOrEqual(MAX);
  });

  it("closes a connection whose request body continues after its response", async () => {
    const port = await startWorkerPort();
    const socket = await dial(port, "127.0.0.1");
    socket.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n");
    const [response] = (await once(socket, "data")) as [Buffer];
    expect(response.toString()).toContain("HTTP/1.1 426 ");
    const sending = setInterval(() => socket.write("x"), 20);
    onTestFinished(() => clearInterval(sending));
    await once(socket, "close");
  });
});
