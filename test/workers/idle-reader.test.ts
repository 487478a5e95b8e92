import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { type MessageInitShape, create, toBinary } from "@bufbuild/protobuf";
import { ConnectRequestSchema } from "millrace/v1";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { testServiceOn, until } from "../support/hosts/test-service.ts";

const testService = testServiceOn(inProcessHost);

const KIB = 1024;
const PAYLOAD = { text: "x".repeat(256 * KIB) };
/** Calls that exceed what both operating systems buffer: about 10 MiB over loopback. */
const CALLS = 240;
const LIMITS = { maxUnreadBytes: 512 * KIB, maxWaiting: 20 };

/** A worker that provides `f` and then stops reading, while its connection stays open. */
interface IdleReader {
  /** Sends a heartbeat, or a ping over a WebSocket. */
  beat(): void;
  /** Disconnects without notice. */
  vanish(): void;
}

type Message = NonNullable<MessageInitShape<typeof ConnectRequestSchema>["message"]>;

/** Connects a worker over one of the worker doors. */
type Connect = (url: string) => Promise<IdleReader>;

const overGrpc: Connect = async (url) => {
  // gRPC clients read on their own, so this uses plain HTTP/2.
  const session = connectHttp2(url);
  const stream = session.request({
    ":method": "POST",
    ":path": "/millrace.v1.WorkerService/Connect",
    "content-type": "application/grpc",
    te: "trailers",
  });
  for (const emitter of [session, stream]) emitter.on("error", () => {});
  const send = (message: Message) => {
    const bytes = toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { message }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length, 1);
    stream.write(Buffer.concat([head, bytes]));
  };
  send({ case: "hello", value: {} });
  await once(stream, "data");
  send({ case: "registerFunction", value: { requestId: 1n, functionId: "f" } });
  await once(stream, "data");
  stream.pause();
  return { beat: () => send({ case: "heartbeat", value: {} }), vanish: () => session.destroy() };
};

const overWebSocket: Connect = async (url) => {
  const socket = new WebSocket(`${url.replace("http", "ws")}/worker`);
  await once(socket, "open");
  socket.send('{"type":"registerfunction","id":"f"}');
  const settled = { type: "invokefunction", function_id: "stream::list_all", data: {} };
  socket.send(JSON.stringify({ ...settled, invocation_id: "settled" }));
  for (;;) {
    const [data] = (await once(socket, "message")) as [Buffer];
    if (data.includes('"settled"')) break;
  }
  socket.pause();
  return { beat: () => socket.ping(), vanish: () => socket.terminate() };
};

const DOORS = [
  ["over gRPC", overGrpc],
  ["over a WebSocket", overWebSocket],
] as const;

describe.each(DOORS)("a worker %s that reads nothing", (_, connect) => {
  it("queues a limited number of calls; others fail at once, and other workers are served (G9)", async () => {
    const { server, service, join } = await testService({ workerLimits: LIMITS });
    const other = await join();
    await other.registerFunction("g", () => "served");
    const worker = await connect(server.url);

    const codes: string[] = [];
    const calls = Array.from({ length: CALLS }, async () =>
      service
        .trigger({ function_id: "f", payload: PAYLOAD, timeout_ms: 60_000 })
        .catch((error: unknown) => void codes.push((error as { code: string }).code)),
    );
    await until(
      () => codes.length,
      (count) => count > 0,
    );
    expect(new Set(codes)).toEqual(new Set(["overloaded"]));
    // The queued calls, and those sent before the connection stopped accepting bytes.
    expect(CALLS - codes.length).toBeLessThan(120);
    expect(await service.trigger({ function_id: "g", timeout_ms: 1000 })).toBe("served");
    await service.set({ streamName: "s", groupId: "g", itemId: "i", data: 1 });

    worker.vanish();
    await Promise.all(calls);
    expect(codes).toHaveLength(CALLS);
    expect(new Set(codes)).toEqual(new Set(["overloaded", "invocation_stopped"]));
  });

  it("queues a limited number of bytes of calls", async () => {
    const limits = { ...LIMITS, maxWaiting: 1000, maxWaitingBytes: 1024 * KIB };
    const { server, service } = await testService({ workerLimits: limits });
    const worker = await connect(server.url);
    const codes: string[] = [];
    const calls = Array.from({ length: CALLS }, async () =>
      service
        .trigger({ function_id: "f", payload: PAYLOAD, timeout_ms: 60_000 })
        .catch((error: unknown) => void codes.push((error as { code: string }).code)),
    );
    await until(
      () => codes.length,
      (count) => count > 0,
    );
    expect(new Set(codes)).toEqual(new Set(["overloaded"]));
    expect(CALLS - codes.length).toBeLessThan(120);
    worker.vanish();
    await Promise.all(calls);
  });

  it("does not keep calls from ending at their deadline", async () => {
    const { server, service } = await testService({ workerLimits: LIMITS });
    const worker = await connect(server.url);
    await expect(service.trigger({ function_id: "f", timeout_ms: 100 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    worker.vanish();
  });

  it("is disconnected when it is also silent, and its calls fail", async () => {
    const { server, service } = await testService({ workerLimits: { ...LIMITS, silenceMs: 300 } });
    const worker = await connect(server.url);
    await expect(service.trigger({ function_id: "f", payload: PAYLOAD })).rejects.toMatchObject({
      code: "invocation_stopped",
    });
    await expect(service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
    worker.vanish();
  });

  it("is disconnected even when it keeps sending heartbeats", async () => {
    const { server, service } = await testService({ workerLimits: { ...LIMITS, silenceMs: 300 } });
    const worker = await connect(server.url);
    const beating = setInterval(() => worker.beat(), 50);
    onTestFinished(() => clearInterval(beating));
    const calls = Array.from({ length: CALLS }, async () =>
      service.trigger({ function_id: "f", payload: PAYLOAD, timeout_ms: 60_000 }).then(
        () => "returned",
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    expect(new Set(await Promise.all(calls))).toEqual(
      new Set(["overloaded", "invocation_stopped"]),
    );
    await expect(service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
    worker.vanish();
  });
});
