import { randomUUID } from "node:crypto";
import { afterEach, expect, it } from "vitest";
import { WebSocket } from "ws";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { testServiceOn, until } from "../support/hosts/test-service.ts";
import { PUBLISHED_FRAME } from "../support/workers/published-frames.ts";

const testService = testServiceOn(inProcessHost);
const sockets: WebSocket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.terminate();
});

it("sends frames that the published SDKs of Node, Python and Rust all accept", async () => {
  const { server, service } = await testService();
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/worker`);
  sockets.push(socket);
  const frames: Record<string, unknown>[] = [];
  socket.on("message", (data: Buffer) => {
    const frame = JSON.parse(data.toString()) as Record<string, unknown>;
    frames.push(frame);
    const { type, invocation_id, function_id } = frame;
    if (type === "invokefunction") send({ type: "invocationresult", invocation_id, function_id });
  });
  const send = (frame: object) => socket.send(JSON.stringify(frame));
  const call = (functionId: string, data?: unknown, more: object = {}) =>
    send({
      type: "invokefunction",
      invocation_id: randomUUID(),
      function_id: functionId,
      data,
      ...more,
    });
  const received = (count: number) =>
    until(
      () => frames,
      ({ length }) => length >= count,
    );
  await new Promise((resolve) => socket.once("open", resolve));

  const item = { stream_name: "chat", group_id: "g", item_id: "i" };
  send({ type: "registerfunction", id: "f" });
  for (const [id, type, config] of [
    [randomUUID(), "stream", { stream_name: "chat" }],
    [randomUUID(), "stream:join", {}],
    [randomUUID(), "stream", {}],
    [randomUUID(), "cron", {}],
  ] as const)
    send({
      type: "registertrigger",
      id,
      trigger_type: type,
      function_id: "f",
      config,
      metadata: 1,
    });
  send({ type: "registertriggertype", id: "cron", description: "x" });
  call("stream::get", item);
  call("stream::get", {});
  call("nobody::knows", {});
  call("engine::functions::list", {});
  call("stream::list_all", {}, { action: { type: "enqueue", queue: "q" } });
  // The worker's registration, the results of 5 trigger registrations and of 5 calls.
  await received(11);
  // A trigger call with metadata, and a call without.
  await service.set({ streamName: "chat", groupId: "g", itemId: "i", data: 1 });
  await service.trigger({ function_id: "f", payload: null });
  await received(13);

  for (const frame of frames) PUBLISHED_FRAME.parse(frame);
  const kinds = new Set(frames.map(({ type }) => type));
  expect(kinds).toEqual(
    new Set([
      "workerregistered",
      "triggerregistrationresult",
      "invocationresult",
      "invokefunction",
    ]),
  );
  const ids = frames.flatMap(({ type, invocation_id: id }) =>
    type === "invokefunction" ? [id] : [],
  );
  expect(new Set(ids).size).toBe(2);
});
