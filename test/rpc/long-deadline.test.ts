import { once } from "node:events";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { json } from "node:stream/consumers";
import { type Client, type Transport, createClient } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { StreamService } from "millrace/v1";
import { type Server, createServer } from "millrace/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { WorkerService } from "../../gen/millrace/v1/worker_service_pb.ts";
import { AsyncQueue } from "../support/doors/async-queue.ts";

let server: Server;
beforeAll(async () => {
  server = await createServer({ port: 0, store: { kind: "in_memory" } });
});
afterAll(() => server.close());

const gzip = { sendCompression: compressionGzip, compressMinBytes: 0 };
const asJson = { useBinaryFormat: false };
const http2 = { httpVersion: "2" as const };
const GRPC: (readonly [string, (baseUrl: string) => Transport])[] = [
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["gRPC with compression", (baseUrl) => createGrpcTransport({ baseUrl, ...gzip })],
  ["gRPC with JSON", (baseUrl) => createGrpcTransport({ baseUrl, ...asJson })],
];
const WEB: typeof GRPC = [
  ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, ...http2 })],
  ["gRPC-Web with JSON", (baseUrl) => createGrpcWebTransport({ baseUrl, ...asJson, ...http2 })],
  [
    "gRPC-Web over HTTP/1.1",
    (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1", ...gzip }),
  ],
];
const CONNECT: typeof GRPC = [
  ["Connect", (baseUrl) => createConnectTransport({ baseUrl, ...http2 })],
  ["Connect with JSON", (baseUrl) => createConnectTransport({ baseUrl, ...asJson, ...http2 })],
  ["Connect with compression", (baseUrl) => createConnectTransport({ baseUrl, ...gzip, ...http2 })],
  ["Connect over HTTP/1.1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "Connect by GET",
    (baseUrl) => createConnectTransport({ baseUrl, ...http2, useHttpGet: true, ...asJson }),
  ],
];

/** Deadlines beyond the timers of Node; the client library's own timers must not see them. */
const LONG = { headers: { "grpc-timeout": "597H", "connect-timeout-ms": "2149200000" } };
const BRIEF = { headers: { "grpc-timeout": "40m", "connect-timeout-ms": "40" } };

describe.each([...GRPC, ...WEB, ...CONNECT])("%s", (name, transportTo) => {
  const group = { streamName: "long-deadlines", groupId: name };
  const client = (): Client<typeof StreamService> =>
    createClient(StreamService, transportTo(server.url));

  it("runs a call whose deadline is 597 hours away", async () => {
    const data = { kind: { case: "numberValue" as const, value: 7 } };
    const { created } = await client().set({ ...group, itemId: "a", data }, LONG);
    expect(created).toBe(true);
    expect((await client().get({ ...group, itemId: "a" }, LONG)).item?.itemId).toBe("a");
  });

  it("keeps open a subscription whose deadline is 597 hours away", async () => {
    const frames = client().subscribe({ ...group, groupId: `${name} s` }, LONG);
    const reading = frames[Symbol.asyncIterator]();
    expect((await reading.next()).value.frame.case).toBe("sync");
    await new Promise((resolve) => setTimeout(resolve, 20));
    await server.service.set({ ...group, groupId: `${name} s`, itemId: "a", data: 1 });
    expect((await reading.next()).value.frame.case).toBe("change");
    await reading.return?.();
  });

  it("ends a subscription when its deadline passes", async () => {
    const frames = client().subscribe({ ...group, groupId: `${name} b` }, BRIEF);
    await expect(
      (async () => {
        for await (const _ of frames);
      })(),
    ).rejects.toMatchObject({ message: expect.stringContaining("deadline_exceeded") });
  });

  it("watches the health of the service with a deadline that is 597 hours away", async () => {
    const brief = await createServer({ port: 0, store: { kind: "in_memory" } });
    const watching = createClient(Health, transportTo(brief.url)).watch({}, LONG);
    const reading = watching[Symbol.asyncIterator]();
    expect((await reading.next()).value).toMatchObject({ status: 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const closing = brief.close();
    expect((await reading.next()).value).toMatchObject({ status: 2 });
    await expect(reading.next()).rejects.toThrow("shutting down");
    await closing;
  });

  it("ends a watch of the health when its deadline passes", async () => {
    const watching = createClient(Health, transportTo(server.url)).watch({}, BRIEF);
    const readAll = async () => {
      for await (const _ of watching);
    };
    await expect(readAll()).rejects.toThrow("deadline_exceeded");
  });
});

describe.each([...GRPC, CONNECT[0]!])("a bidirectional stream over %s", (name, transportTo) => {
  it("takes writes with a deadline that is 597 hours away", async () => {
    const requests = new AsyncQueue<{ requestId: bigint; call: unknown }>();
    const results = createClient(StreamService, transportTo(server.url))
      .write(requests as never, LONG)
      [Symbol.asyncIterator]();
    for (const requestId of [1n, 2n]) {
      const key = { streamName: "long-deadlines", groupId: `${name} w`, itemId: "a" };
      requests.push({ requestId, call: { case: "delete", value: key } });
      expect((await results.next()).value).toMatchObject({ requestId, result: { case: "delete" } });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    requests.end();
    expect((await results.next()).done).toBe(true);
  });

  it("serves reflection with a deadline that is 597 hours away", async () => {
    const requests = new AsyncQueue<object>();
    const results = createClient(ServerReflection, transportTo(server.url))
      .serverReflectionInfo(requests as never, LONG)
      [Symbol.asyncIterator]();
    for (let i = 0; i < 2; i++) {
      requests.push({ messageRequest: { case: "listServices", value: "" } });
      const { value } = await results.next();
      expect(value.messageResponse.case).toBe("listServicesResponse");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    requests.end();
    expect((await results.next()).done).toBe(true);
  });

  it("keeps a worker with a deadline that is 597 hours away", async () => {
    const requests = new AsyncQueue<object>();
    const results = createClient(WorkerService, transportTo(server.url))
      .connect(requests as never, LONG)
      [Symbol.asyncIterator]();
    requests.push({ message: { case: "hello", value: { workerName: "w" } } });
    expect((await results.next()).value.message.case).toBe("welcome");
    await new Promise((resolve) => setTimeout(resolve, 20));
    requests.push({ message: { case: "heartbeat", value: {} } });
    expect((await results.next()).value.message.case).toBe("heartbeat");
    requests.end();
    expect((await results.next()).done).toBe(true);
  });
});

it("a call whose body never arrives ends at its deadline, on the framework path too", async () => {
  const request = httpRequest(`${server.url}/millrace.v1.StreamService/Set`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "content-encoding": "gzip",
      "connect-timeout-ms": "40",
    },
  });
  request.flushHeaders();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  expect(await json(response)).toMatchObject({ code: "deadline_exceeded" });
  request.destroy();
});

it("a function may have a timeout of 30 days", async () => {
  const days = 30 * 86_400_000;
  await server.service.registerFunction("slow-echo", async (payload) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return payload;
  });
  const result = await server.service.trigger({
    function_id: "slow-echo",
    payload: { n: 1 },
    timeout_ms: days,
  });
  expect(result).toEqual({ n: 1 });
});
