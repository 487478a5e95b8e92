import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { type MessageInitShape, create, toBinary } from "@bufbuild/protobuf";
import { ConnectRequestSchema } from "millrace/v1";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { stagesOf, until } from "../support/hosts/stage.ts";

const stage = stagesOf(inProcessHost);

const KIB = 1024;
const PAYLOAD = { text: "x".repeat(256 * KIB) };
/** More than the systems on both sides take by themselves, which is some 10 MiB over loopback. */
const CALLS = 240;
const LIMITS = { maxUnreadBytes: 512 * KIB, maxWaiting: 20 };

/** A worker that provides `f`, and from then on reads nothing, while its connection stays open. */
interface IdleReader {
  /** Says a heartbeat, or what its door has for it. */
  beat(): void;
  /** Goes without a word. */
  vanish(): void;
}

type Message = NonNullable<MessageInitShape<typeof ConnectRequestSchema>["message"]>;

/** A door for workers: connects one. */
type Connect = (url: string) => Promise<IdleReader>;

const overGrpc: Connect = async (url) => {
  // The clients of gRPC read by themselves, so this is HTTP/2 alone.
  const session = connectHttp2(url);
  const stream = session.request({
    ":method": "POST",
    ":path": "/millrace.v1.WorkerService/Connect",
    "content-type": "application/grpc",
    te: "trailers",
  });
  for (const emitter of [session, stream]) emitter.on("error", () => {});
  const say = (message: Message) => {
    const bytes = toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { message }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length, 1);
    stream.write(Buffer.concat([head, bytes]));
  };
  say({ case: "hello", value: {} });
  await once(stream, "data");
  say({ case: "registerFunction", value: { requestId: 1n, functionId: "f" } });
  await once(stream, "data");
  stream.pause();
  return { beat: () => say({ case: "heartbeat", value: {} }), vanish: () => session.destroy() };
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
  it("holds few calls: more fail at once, and other workers are served as ever (G9)", async () => {
    const { server, service, join } = await stage({ workerLimits: LIMITS });
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
    // What waits, and what was sent before it was known that nobody reads.
    expect(CALLS - codes.length).toBeLessThan(120);
    expect(await service.trigger({ function_id: "g", timeout_ms: 1000 })).toBe("served");
    await service.set({ streamName: "s", groupId: "g", itemId: "i", data: 1 });

    worker.vanish();
    await Promise.all(calls);
    expect(codes).toHaveLength(CALLS);
    expect(new Set(codes)).toEqual(new Set(["overloaded", "invocation_stopped"]));
  });

  it("holds few bytes of calls that wait", async () => {
    const limits = { ...LIMITS, maxWaiting: 1000, maxWaitingBytes: 1024 * KIB };
    const { server, service } = await stage({ workerLimits: limits });
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

  it("has its calls end in time", async () => {
    const { server, service } = await stage({ workerLimits: LIMITS });
    const worker = await connect(server.url);
    await expect(service.trigger({ function_id: "f", timeout_ms: 100 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    worker.vanish();
  });

  it("is taken for gone when it says nothing either, and its calls fail", async () => {
    const { server, service } = await stage({ workerLimits: { ...LIMITS, silenceMs: 300 } });
    const worker = await connect(server.url);
    await expect(service.trigger({ function_id: "f", payload: PAYLOAD })).rejects.toMatchObject({
      code: "invocation_stopped",
    });
    await expect(service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
    worker.vanish();
  });

  it("is taken for gone when it goes on talking, but leaves what was sent unread", async () => {
    const { server, service } = await stage({ workerLimits: { ...LIMITS, silenceMs: 300 } });
    const worker = await connect(server.url);
    const beating = setInterval(() => worker.beat(), 50);
    onTestFinished(() => clearInterval(beating));
    const calls = Array.from({ length: CALLS }, async () =>
      service.trigger({ function_id: "f", payload: PAYLOAD, timeout_ms: 60_000 }).then(
        () => "answered",
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
