import { describe, expect, it, onTestFinished } from "vitest";
import { memoryStore } from "millrace";
import { type ServerOptions, createServer } from "millrace/server";
import { connect, upgrade } from "./line.ts";

/** Too slow for a second token during a test. */
const BARELY = 0.01;
const GROUP = { streamName: "rooms", groupId: "lobby" };
const from = (address: string) => ({ "x-forwarded-for": address });
const FIRST = from("198.51.100.1");
const SECOND = from("198.51.100.2");

async function start(callerLimits: ServerOptions["callerLimits"]): Promise<string> {
  const server = await createServer({ port: 0, store: memoryStore(), callerLimits });
  onTestFinished(() => server.close());
  return server.url;
}

describe("sockets of one address behind a proxy", () => {
  it("are refused beyond the limit with 429 until one is closed", async () => {
    const url = await start({ maxConnectionsPerAddress: 2 });
    const [first] = await Promise.all([1, 2].map(() => connect(url, "/", { headers: FIRST })));
    const refused = await upgrade(url, "/", FIRST);
    expect(refused).toMatchObject({ status: 429, sentence: expect.stringContaining("has 2") });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    // Other addresses have their own limit.
    await connect(url, "/", { headers: SECOND });
    await connect(url, "/");
    first?.socket.terminate();
    await expect.poll(async () => (await upgrade(url, "/", FIRST)).status).toBe(101);
  });

  it("are refused with 429 when handshakes come too fast", async () => {
    const url = await start({ requestsPerAddress: { perSecond: BARELY, burst: 2 } });
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push((await upgrade(url, "/", FIRST)).status);
    expect(statuses).toEqual([101, 101, 429]);
    const refused = await upgrade(url, "/", FIRST);
    expect(refused.headers["retry-after"]).toBe("100");
    expect((await upgrade(url, "/", SECOND)).status).toBe(101);
    expect((await upgrade(url, "/")).status).toBe(101);
  });

  it("share the frame rate of their address, and are closed with 4429 beyond it", async () => {
    const url = await start({ requestsPerAddress: { perSecond: BARELY, burst: 10 } });
    const lines = await Promise.all(
      [FIRST, FIRST, SECOND].map((headers) => connect(url, "/", { headers })),
    );
    // Two handshakes are counted; eight frames are left.
    for (const [i, line] of lines.entries())
      for (let n = 0; n < 4; n++) line.join({ ...GROUP, subscriptionId: `${i} ${n}` });
    await Promise.all(lines.map((line) => line.count(4)));
    lines[0]?.join({ ...GROUP, subscriptionId: "more" });
    expect(await lines[0]?.closed).toBe(4429);
    lines[2]?.join({ ...GROUP, subscriptionId: "more" });
    await lines[2]?.count(5);
  });
});

describe("a trusted caller's sockets", () => {
  it("have no rates of their address, while those of untrusted callers have", async () => {
    const server = await createServer({
      port: 0,
      store: memoryStore(),
      apiTokens: ["secret"],
      callerLimits: { requestsPerAddress: { perSecond: BARELY, burst: 2 } },
    });
    onTestFinished(() => server.close());
    const trusted = { ...FIRST, authorization: "Bearer secret" };
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await upgrade(server.url, "/", trusted)).status);
    expect(statuses).toEqual([101, 101, 101, 101]);
    const line = await connect(server.url, "/", { headers: trusted });
    for (let n = 0; n < 5; n++) line.join({ ...GROUP, subscriptionId: String(n) });
    await line.count(5);
    const untrusted = [];
    for (let i = 0; i < 3; i++) untrusted.push((await upgrade(server.url, "/", FIRST)).status);
    expect(untrusted).toEqual([101, 101, 429]);
  });
});

describe("a worker that guesses tokens", () => {
  it("is refused with 429 when it tries too fast", async () => {
    const server = await createServer({
      port: 0,
      store: memoryStore(),
      apiTokens: ["secret"],
      callerLimits: { requestsPerAddress: { perSecond: BARELY, burst: 2 } },
    });
    onTestFinished(() => server.close());
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push((await upgrade(server.url, "/worker", FIRST)).status);
    expect(statuses).toEqual([401, 401, 429]);
    const known = await upgrade(server.url, "/worker", {
      ...FIRST,
      authorization: "Bearer secret",
    });
    expect(known.status).toBe(101);
  });
});

describe("the subscriptions of a socket", () => {
  it("are closed with 4429 when they come too fast, even from this machine", async () => {
    const url = await start({ subscriptions: { perSecond: BARELY, burst: 3 } });
    const line = await connect(url, "/");
    for (let n = 0; n < 3; n++) line.join({ ...GROUP, subscriptionId: `${n}` });
    await line.count(3);
    line.leave("0");
    line.join({ ...GROUP, subscriptionId: "0" });
    expect(await line.closed).toBe(4429);
  });
});
