import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { type Socket, connect as connectTcp } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { ChangeType, SubscribeRequestSchema, SubscribeResponseSchema } from "millrace/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { readBridgeFrame } from "../support/bridge-frame.ts";
import { toPosition, toValue } from "../support/doors/rpc-messages.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";

const APPENDS = 4000;
const TEXT_BYTES = 6;
/** Appends that watchers receive before the next ones are made. */
const AT_ONCE = 10;
/** Most bytes of a change on the wire of a subscriber with deltas. */
const MAX_CHANGE_BYTES = 4 * TEXT_BYTES + 150;
const GROUP = { streamName: "chat", groupId: "room" };
const ITEM = { ...GROUP, itemId: "answer" };

let server: TestServer;
const closing: (() => void)[] = [];
beforeEach(async () => {
  server = await startServer("memory");
});
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await server.close();
});

/** A subscriber, and what it has read of its connection. */
interface Watcher {
  /** Messages, without the framing of the transport. */
  readonly messages: Buffer[];
  /** Bytes of the connection, with all framing. */
  wireBytes(): number;
  /** Resolves when it has this many messages. */
  until(count: number): Promise<void>;
}

function watcher(tcp: () => Socket | undefined) {
  const messages: Buffer[] = [];
  let onMessage = () => {};
  return {
    messages,
    wireBytes: () => tcp()?.bytesRead ?? 0,
    take(message: Buffer) {
      messages.push(message);
      onMessage();
    },
    async until(count: number) {
      while (messages.length < count) await new Promise<void>((resolve) => (onMessage = resolve));
    },
  };
}

/** Subscribes over gRPC. */
async function overRpc(deltas: boolean): Promise<Watcher> {
  let tcp: Socket | undefined;
  const open = () => (tcp = connectTcp(server.port, "127.0.0.1"));
  const session: ClientHttp2Session = connectHttp2(server.url, { createConnection: open });
  closing.push(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": "/millrace.v1.StreamService/Subscribe",
    "content-type": "application/grpc+proto",
    te: "trailers",
  });
  const request = toBinary(
    SubscribeRequestSchema,
    create(SubscribeRequestSchema, { ...GROUP, deltas }),
  );
  const envelope = Buffer.alloc(5 + request.byteLength);
  envelope.writeUInt32BE(request.byteLength, 1);
  envelope.set(request, 5);
  stream.end(envelope);
  const { take, ...each } = watcher(() => tcp);
  let rest = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const end = rest.byteLength < 5 ? Infinity : 5 + rest.readUInt32BE(1);
      if (rest.byteLength < end) return;
      take(rest.subarray(5, end));
      rest = rest.subarray(end);
    }
  });
  await each.until(1);
  return each;
}

/** Subscribes over a WebSocket. */
async function overSocket(deltas: boolean, query = ""): Promise<Watcher> {
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/${query}`);
  closing.push(() => socket.terminate());
  let tcp: Socket | undefined;
  socket.on("upgrade", (response) => (tcp = response.socket));
  const { take, ...each } = watcher(() => tcp);
  socket.on("message", (data: Buffer) => take(data));
  await once(socket, "open");
  const data = { subscriptionId: "s", ...GROUP, deltas };
  socket.send(JSON.stringify({ type: "join", data }));
  await each.until(1);
  return each;
}

const DOORS = [
  ["gRPC", overRpc],
  [
    "a WebSocket that asks for compression",
    (deltas: boolean) => overSocket(deltas, "?compress=deltas"),
  ],
] as const;

/** Appends to the item, at the pace of watchers. */
async function append(count: number, ...watchers: readonly Watcher[]): Promise<void> {
  for (let i = 0; i < count; i++) {
    const value = String(i).padStart(TEXT_BYTES, "0");
    await server.service.update({ ...ITEM, ops: [{ type: "append", path: ["text"], value }] });
    if (i % AT_ONCE === AT_ONCE - 1)
      await Promise.all(watchers.map((each) => each.until(1 + i + 1)));
  }
}

describe.each(DOORS)("a subscriber with deltas over %s", (_, subscribe) => {
  it(`receives ${APPENDS} appends of ${TEXT_BYTES} bytes for at most four times the text and 150 bytes per change`, async () => {
    await server.service.set({ ...ITEM, data: { text: "x".repeat(200) } });
    const watching = await subscribe(true);
    const before = watching.wireBytes();
    await append(APPENDS, watching);
    const perChange = (watching.wireBytes() - before) / APPENDS;
    console.info(`delta costs: ${perChange.toFixed(1)} bytes per change`);
    expect(perChange).toBeLessThan(MAX_CHANGE_BYTES);
  });
});

describe("100 subscribers with whole values", () => {
  it("receive the same bytes while others take deltas", async () => {
    await server.service.set({ ...ITEM, data: { text: "x".repeat(200) } });
    const deltas = [await overRpc(true), await overSocket(true, "?compress=deltas")];
    const rpc = await Promise.all(Array.from({ length: 50 }, () => overRpc(false)));
    const sockets = await Promise.all(Array.from({ length: 50 }, () => overSocket(false)));
    await append(2 * AT_ONCE, ...deltas, ...rpc, ...sockets);
    const item = await server.service.get(ITEM);
    const last = sockets[0]!.messages.at(-1)!;
    const { epoch = "", revision = 0, timestamp } = readBridgeFrame(last);
    const data = item!.data;
    const change = {
      ...{ type: ChangeType.UPDATE, itemId: ITEM.itemId, data: toValue(data) },
      ...{ position: toPosition({ epoch, revision }), timestamp: BigInt(timestamp) },
    };
    const frame = { case: "change" as const, value: change };
    const message = toBinary(SubscribeResponseSchema, create(SubscribeResponseSchema, { frame }));
    for (const { messages } of rpc) expect(messages.at(-1)).toEqual(Buffer.from(message));
    const envelope = { type: "stream", timestamp, epoch, revision, ...GROUP, id: ITEM.itemId };
    const text = JSON.stringify({ ...envelope, event: { type: "update", data } });
    for (const { messages } of sockets) expect(messages.at(-1)?.toString()).toBe(text);
    for (const each of [rpc, sockets])
      for (const { messages } of each)
        expect(messages.slice(1)).toEqual(each[0]?.messages.slice(1));
  });
});
