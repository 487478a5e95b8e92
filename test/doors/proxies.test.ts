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

describe.each(ready)("the service behind $kind.program.name, configured as documented,", (each) => {
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

  it.each(TRANSPORTS)("serves calls and streams of %s", async (_, transport) => {
    const client = createClient(StreamService, transport(proxy));
    const { item } = await client.get({ ...GROUP, itemId: "i" });
    expect(item?.data?.kind).toEqual({ case: "stringValue", value: "there" });
    const cancel = new AbortController();
    const frames = client.subscribe(GROUP, { signal: cancel.signal })[Symbol.asyncIterator]();
    expect((await frames.next()).value?.frame.case).toBe("sync");
    // Later frames arrive at once, too: the proxy does not buffer them.
    await server.service.set({ ...GROUP, itemId: "later", data: 1 });
    expect((await frames.next()).value?.frame.case).toBe("change");
    cancel.abort();
    await frames.next().catch(() => {});
  });

  it("upgrades connections that carried requests before to WebSockets", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    for (let round = 0; round < 5; round++) {
      const [response] = (await once(get(`${proxy.url}/healthz`, { agent }), "response")) as [
        Parameters<typeof buffer>[0] & { readonly statusCode: number },
      ];
      expect([response.statusCode, (await buffer(response)).toString()]).toEqual([
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
