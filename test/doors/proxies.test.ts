import { once } from "node:events";
import { Agent, get } from "node:http";
import { buffer } from "node:stream/consumers";
import { type Interceptor, type Transport, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { StreamService } from "millrace/v1";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import {
  PROXIES,
  type RunningProxy,
  proxyProgram,
  startProxy,
} from "../support/proxies/proxies.ts";

const GROUP = { streamName: "s", groupId: "g" };
const FETCH_TIMEOUT_MS = 120_000;

const withToken: Interceptor = (next) => (request) => {
  request.header.set("authorization", "Bearer secret");
  return next(request);
};

const TRANSPORTS: readonly (readonly [string, (proxy: RunningProxy) => Transport])[] = [
  ["gRPC", ({ http2Url }) => createGrpcTransport({ baseUrl: http2Url, interceptors: [withToken] })],
  [
    "gRPC-Web over HTTP/1.1",
    ({ url }) =>
      createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1", interceptors: [withToken] }),
  ],
  [
    "gRPC-Web over HTTP/2",
    ({ http2Url }) =>
      createGrpcWebTransport({ baseUrl: http2Url, httpVersion: "2", interceptors: [withToken] }),
  ],
  [
    "Connect over HTTP/1.1",
    ({ url }) =>
      createConnectTransport({ baseUrl: url, httpVersion: "1.1", interceptors: [withToken] }),
  ],
  [
    "Connect over HTTP/2",
    ({ http2Url }) =>
      createConnectTransport({ baseUrl: http2Url, httpVersion: "2", interceptors: [withToken] }),
  ],
];

const ready = await Promise.all(
  PROXIES.map(async (kind) => ({ kind, found: await proxyProgram(kind) })),
);

describe.each(ready)("behind $kind.program.name, as the documents set it up,", (each) => {
  const { kind, found } = each;
  if ("missing" in found) {
    it(found.missing, (context) => context.skip(found.missing));
    return;
  }
  let server: TestServer;
  let proxy: RunningProxy;
  beforeAll(async () => {
    server = await startServer("memory", { apiTokens: ["secret"] });
    await server.service.set({ ...GROUP, itemId: "i", data: "there" });
    proxy = await startProxy(kind, found.program, server.port);
  }, FETCH_TIMEOUT_MS);
  afterAll(async () => {
    await proxy?.stop();
    await server.close();
  });

  it.each(TRANSPORTS)("calls and streams of %s work", async (_, transport) => {
    const client = createClient(StreamService, transport(proxy));
    const { item } = await client.get({ ...GROUP, itemId: "i" });
    expect(item?.data?.kind).toEqual({ case: "stringValue", value: "there" });
    const cancel = new AbortController();
    const frames = client.subscribe(GROUP, { signal: cancel.signal })[Symbol.asyncIterator]();
    expect((await frames.next()).value?.frame.case).toBe("sync");
    // What is announced later comes at once, too: nothing collects it on the way.
    await server.service.set({ ...GROUP, itemId: "later", data: 1 });
    expect((await frames.next()).value?.frame.case).toBe("change");
    cancel.abort();
    await frames.next().catch(() => {});
  });

  it("WebSockets open on connections that carried requests before", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    for (let round = 0; round < 5; round++) {
      const [answer] = (await once(get(`${proxy.url}/healthz`, { agent }), "response")) as [
        Parameters<typeof buffer>[0] & { readonly statusCode: number },
      ];
      expect([answer.statusCode, (await buffer(answer)).toString()]).toEqual([
        200,
        '{"status":"serving"}\n',
      ]);
      const socket = new WebSocket(`${proxy.url.replace("http", "ws")}/`, { agent });
      await once(socket, "open");
      socket.send(JSON.stringify({ type: "join", data: { subscriptionId: "a", ...GROUP } }));
      const [frame] = (await once(socket, "message")) as [Buffer];
      expect(frame.toString()).toContain('"sync"');
      socket.close();
      await once(socket, "close");
    }
  });
});
