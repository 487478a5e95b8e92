import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Server, createServer } from "millrace/server";
import { StreamService, WriteRequestSchema } from "../../gen/millrace/v1/stream_service_pb.ts";
import { openClient } from "../support/lifetimes/socket-client.ts";

let server: Server;
beforeAll(async () => {
  server = await createServer({ port: 0, store: { kind: "in_memory" } });
});
afterAll(() => server?.close());

const item = { streamName: "cursors", groupId: "g", itemId: "a" };
const set = { ...item, data: 1, whileConnected: true };
const update = { ...item, ops: [], whileConnected: true };
/** The refusal of a binding to no connection. */
const REFUSAL = {
  reason: "REQUEST_INVALID",
  message: expect.stringMatching(
    /^while_connected is true, but .* may be true in calls over a WebSocket that said hello\.$/,
  ) as unknown,
  metadata: { field: "while_connected" },
};

it("no item is bound by a call without a socket: RPC", async () => {
  for (const [method, params] of [
    ["Set", set],
    ["Update", update],
  ] as const) {
    const response = await fetch(`${server.url}/millrace.v1.StreamService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(params),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      code: "invalid_argument",
      message: REFUSAL.message,
    });
  }
});

it("no item is bound by a call without a socket: a stream of writes", async () => {
  const transport = createGrpcTransport({ baseUrl: server.url });
  const client = createClient(StreamService, transport);
  const requests = [1n, 2n].map((requestId) =>
    create(WriteRequestSchema, {
      requestId,
      call: {
        case: "update",
        value: { ...item, whileConnected: requestId === 1n },
      },
    }),
  );
  const results = [];
  for await (const { result } of client.write(
    (async function* () {
      yield* requests;
    })(),
  ))
    results.push(result.case === "error" ? result.value.reason : result.case);
  expect(results).toEqual(["REQUEST_INVALID", "update"]);
});

it("no item is bound by a call without a socket: the library, and functions", async () => {
  const { service } = server;
  await expect(service.set(set as never)).rejects.toMatchObject(REFUSAL);
  await expect(service.update(update as never)).rejects.toMatchObject(REFUSAL);
  const payload = { stream_name: "cursors", group_id: "g", item_id: "a", while_connected: true };
  for (const [id, more] of [
    ["stream::set", { data: 1 }],
    ["stream::update", { ops: [] }],
  ] as const)
    await expect(
      service.trigger({ function_id: id, payload: { ...payload, ...more } }),
    ).rejects.toMatchObject({
      message: expect.stringContaining("REQUEST_INVALID: while_connected is true") as unknown,
    });
});

it("no item is bound by a batch, or in a custom stream", async () => {
  const client = await openClient(server.url);
  const { streamName, groupId } = item;
  const mutations = [{ set: { itemId: "a", data: 1, whileConnected: true } }];
  expect(await client.call("Batch", { streamName, groupId, mutations })).toMatchObject({
    error: {
      reason: "REQUEST_INVALID",
      message: expect.stringContaining("whileConnected") as unknown,
    },
  });
  await server.service.createStream("custom", { set: () => {}, get: () => undefined });
  expect(await client.call("Set", { ...set, streamName: "custom" })).toMatchObject({
    error: { reason: "CUSTOM_STREAM_UNSUPPORTED" },
  });
  expect(await client.call("Set", { ...set, whileConnected: "yes" })).toMatchObject({
    error: { reason: "REQUEST_INVALID" },
  });
});

it("an idempotency key with another binding, or another ttl, is that of another request", async () => {
  const client = await openClient(server.url);
  const write = { ...set, itemId: "keyed", ttl: "5s", idempotencyKey: "k" };
  expect(await client.call("Set", write)).toMatchObject({ result: { created: true } });
  expect(await client.call("Set", write)).toMatchObject({ result: { deduplicated: true } });
  const mismatch = { error: { reason: "IDEMPOTENCY_MISMATCH" } };
  expect(await client.call("Set", { ...write, ttl: "6s" })).toMatchObject(mismatch);
  expect(await client.call("Set", { ...write, whileConnected: false })).toMatchObject(mismatch);
});
