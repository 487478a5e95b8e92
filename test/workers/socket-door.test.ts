import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { type TestService, testServiceOn, until } from "../support/hosts/test-service.ts";

type Frame = Record<string, unknown> & { type: string };

const testService = testServiceOn(inProcessHost);
let fixture: TestService;
const sockets: WebSocket[] = [];
beforeEach(async () => {
  fixture = await testService({ workerLimits: { silenceMs: 5000 } });
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.terminate();
});

/** Opens a worker connection that sends exactly the given frames. */
async function open() {
  const socket = new WebSocket(`${fixture.server.url.replace("http", "ws")}/worker`);
  sockets.push(socket);
  const frames: Frame[] = [];
  let closeCode: number | undefined;
  socket.on("message", (data: Buffer) => frames.push(JSON.parse(data.toString()) as Frame));
  socket.on("close", (code) => (closeCode = code));
  await new Promise((resolve) => socket.once("open", resolve));
  const receives = (type: string, nth = 0) =>
    until(
      () => frames.filter((frame) => frame.type === type)[nth],
      (frame) => frame !== undefined,
    ) as Promise<Frame>;
  const registered = await receives("workerregistered");
  return {
    socket,
    frames,
    receives,
    registered,
    send: (frame: object) => socket.send(JSON.stringify(frame)),
    closed: () =>
      until(
        () => closeCode,
        (code) => code !== undefined,
      ),
  };
}

const MIB = 1024 * 1024;
const CALL = { type: "invokefunction", function_id: "stream::list_all", data: {} };

describe("the WebSocket door for workers", () => {
  it("sends a worker its identity, calls its functions, and receives their results", async () => {
    const { registered, send, receives } = await open();
    expect(registered).toMatchObject({
      worker_id: expect.any(String) as unknown,
      reattach_token: expect.any(String) as unknown,
    });
    send({ type: "registerfunction", id: "f" });
    send({ ...CALL, invocation_id: "settled" });
    await receives("invocationresult");
    const result = fixture.service.trigger({ function_id: "f", payload: [1] });
    const { invocation_id, function_id, data } = await receives("invokefunction");
    expect([function_id, data]).toEqual(["f", [1]]);
    send({ type: "invocationresult", invocation_id, function_id, result: null });
    expect(await result).toBe(null);
    const nothing = fixture.service.trigger({ function_id: "f" });
    const second = await receives("invokefunction", 1);
    send({ type: "invocationresult", invocation_id: second["invocation_id"], function_id });
    expect(await nothing).toBeUndefined();
  });

  it("omits the result of a call that has none, and sends null for null", async () => {
    const { send, receives } = await open();
    const get = { stream_name: "s", group_id: "g", item_id: "i" };
    send({ ...CALL, function_id: "stream::get", data: get, invocation_id: "1" });
    expect(await receives("invocationresult")).toEqual({
      type: "invocationresult",
      invocation_id: "1",
      function_id: "stream::get",
    });
    const event = { stream_name: "s", group_id: "g", data: 1 };
    send({ ...CALL, function_id: "stream::send", data: event, invocation_id: "2" });
    expect(await receives("invocationresult", 1)).toMatchObject({ result: null });
  });

  it("responds to unsupported frames with an error, and not at all to a void call", async () => {
    const { send, receives, frames } = await open();
    send({ ...CALL, action: { type: "void" } });
    send({ ...CALL, invocation_id: "q", action: { type: "enqueue", queue: "jobs" } });
    expect(await receives("invocationresult")).toMatchObject({
      invocation_id: "q",
      error: { code: "unsupported_action" },
    });
    send({ type: "registertriggertype", id: "cron" });
    expect(await receives("triggerregistrationresult")).toMatchObject({
      id: "cron",
      error: { code: "trigger_type_not_supported" },
    });
    send({ type: "registertrigger", id: "t", trigger_type: "cron", function_id: "f", config: {} });
    expect(await receives("triggerregistrationresult", 1)).toMatchObject({
      id: "t",
      trigger_type: "cron",
      function_id: "f",
      error: { code: "trigger_type_not_found" },
    });
    const config = { stream_name: "chat" };
    send({ type: "registertrigger", id: "u", trigger_type: "stream", function_id: "f", config });
    expect(await receives("triggerregistrationresult", 2)).toEqual({
      type: "triggerregistrationresult",
      id: "u",
      trigger_type: "stream",
      function_id: "f",
    });
    send({ type: "reattach", previous_worker_id: "nobody", reattach_token: "x" });
    send({ type: "unregistertriggertype", id: "cron" });
    send({ ...CALL, invocation_id: "last" });
    expect(await receives("invocationresult", 1)).toMatchObject({ invocation_id: "last" });
    expect(frames.filter(({ type }) => type === "invocationresult")).toHaveLength(2);
  });

  it("does not register functions that are invoked over HTTP", async () => {
    const { send, receives } = await open();
    send({ type: "registerfunction", id: "f", invocation: { url: "http://127.0.0.1:1/" } });
    send({ ...CALL, invocation_id: "1" });
    await receives("invocationresult");
    await expect(fixture.service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
  });

  it("accepts any payload in which a worker describes itself", async () => {
    const { send, receives } = await open();
    const register = { ...CALL, function_id: "engine::workers::register" };
    for (const data of [{ name: "ann" }, null, 5, [], { name: 5 }, "x"])
      send({ ...register, data, action: { type: "void" } });
    send({ ...register, data: { name: "ann" }, invocation_id: "1" });
    expect(await receives("invocationresult")).toMatchObject({ invocation_id: "1", result: null });
  });

  it("closes the socket of a worker that sends garbage, without effect on others", async () => {
    const [garbage, other] = [await open(), await open()];
    other.send({ type: "registerfunction", id: "f" });
    for (const text of [
      "",
      "{",
      "[]",
      "null",
      "5",
      '"x"',
      "{}",
      '{"type":5}',
      '{"type":"registerfunction"}',
    ])
      garbage.socket.send(text);
    garbage.socket.send(Buffer.from([0xff, 0xfe]));
    expect(await garbage.closed()).toBe(4400);
    other.send({ ...CALL, invocation_id: "1" });
    await other.receives("invocationresult");
    const result = fixture.service.trigger({ function_id: "f" });
    const { invocation_id } = await other.receives("invokefunction");
    other.send({ type: "invocationresult", invocation_id, result: 1 });
    expect(await result).toBe(1);
  });

  it("refuses JSON that is nested too deeply, and continues", async () => {
    const { send, receives, socket } = await open();
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    socket.send(
      `{"type":"invokefunction","invocation_id":"1","function_id":"f","data":${deep},"metadata":${deep}}`,
    );
    expect(await receives("invocationresult")).toMatchObject({
      invocation_id: "1",
      error: { code: "deserialization_error" },
    });
    send({ type: "registerfunction", id: "f" });
    send({ ...CALL, invocation_id: "2" });
    await receives("invocationresult", 1);
    const result = fixture.service.trigger({ function_id: "f" });
    const { invocation_id } = await receives("invokefunction");
    socket.send(
      `{"type":"invocationresult","invocation_id":"${String(invocation_id)}","result":${deep}}`,
    );
    await expect(result).rejects.toMatchObject({ code: "invocation_failed" });
    const failing = fixture.service.trigger({ function_id: "f" });
    const second = await receives("invokefunction", 1);
    socket.send(
      `{"type":"invocationresult","invocation_id":"${String(second["invocation_id"])}","error":${deep}}`,
    );
    await expect(failing).rejects.toMatchObject({ code: "invocation_failed" });
  });

  it("stops calling a worker for a function that it reports as not found", async () => {
    const [one, other] = [await open(), await open()];
    for (const { send, receives } of [one, other]) {
      send({ type: "registerfunction", id: "f" });
      send({ ...CALL, invocation_id: "1" });
      await receives("invocationresult");
    }
    const config = { stream_name: "chat" };
    one.send({
      type: "registertrigger",
      id: "t",
      trigger_type: "stream",
      function_id: "f",
      config,
    });
    await one.receives("triggerregistrationresult");
    other.socket.on("message", (data: Buffer) => {
      const { type, invocation_id } = JSON.parse(data.toString()) as Frame;
      if (type === "invokefunction") other.send({ type: "invocationresult", invocation_id });
    });
    // The worker dropped the function without unregistering it.
    one.socket.on("message", (data: Buffer) => {
      const { type, invocation_id } = JSON.parse(data.toString()) as Frame;
      const error = { code: "function_not_found", message: "Function not found" };
      if (type === "invokefunction") one.send({ type: "invocationresult", invocation_id, error });
    });
    for (let n = 0; n < 6; n++)
      await fixture.service.set({ streamName: "chat", groupId: "g", itemId: "i", data: n });
    await until(
      () => fixture.service.triggers()[0]?.counts.fired,
      (fired) => fired === 6,
    );
    const calls = one.frames.filter(({ type }) => type === "invokefunction");
    expect(calls.length).toBeLessThanOrEqual(1);
  });

  it("ignores results of calls that were never made or have already ended", async () => {
    const { send, receives } = await open();
    send({ type: "registerfunction", id: "f" });
    send({ type: "invocationresult", invocation_id: "999", result: 1 });
    send({ ...CALL, invocation_id: "1" });
    await receives("invocationresult");
    const result = fixture.service.trigger({ function_id: "f" });
    const { invocation_id } = await receives("invokefunction");
    send({ type: "invocationresult", invocation_id, result: "one" });
    send({ type: "invocationresult", invocation_id, result: "two" });
    expect(await result).toBe("one");
  });

  it("moves the registrations of a worker to the socket on which it reattaches, once", async () => {
    const first = await open();
    first.send({ type: "registerfunction", id: "f" });
    const config = { stream_name: "chat" };
    first.send({
      type: "registertrigger",
      id: "t",
      trigger_type: "stream",
      function_id: "f",
      config,
    });
    await first.receives("triggerregistrationresult");
    first.socket.terminate();
    await until(
      () => fixture.service.triggers()[0]?.served,
      (served) => served === false,
    );
    const back = await open();
    const { worker_id, reattach_token } = first.registered;
    back.send({ type: "reattach", previous_worker_id: worker_id, reattach_token });
    back.send({ type: "registerfunction", id: "f" });
    back.send({
      type: "registertrigger",
      id: "t",
      trigger_type: "stream",
      function_id: "f",
      config,
    });
    await back.receives("triggerregistrationresult");
    expect(fixture.service.triggers()).toHaveLength(1);
    await fixture.service.set({ streamName: "chat", groupId: "g", itemId: "i", data: 1 });
    const { invocation_id } = await back.receives("invokefunction");
    back.send({ type: "invocationresult", invocation_id });
    await until(
      () => fixture.service.triggers()[0]?.counts.fired,
      (fired) => fired === 1,
    );
    back.send({ type: "unregistertrigger", id: "t", trigger_type: "stream" });
    await until(
      () => fixture.service.triggers().length,
      (length) => length === 0,
    );
    expect(back.frames.filter(({ type }) => type === "invokefunction")).toHaveLength(1);
  });

  it("refuses a payload over 4 MiB, and closes the socket for a frame over 32 MiB", async () => {
    const { send, receives, closed } = await open();
    send({ type: "registerfunction", id: "f" });
    send({ ...CALL, function_id: "f", data: "x".repeat(4 * MIB), invocation_id: "1" });
    expect(await receives("invocationresult")).toMatchObject({
      invocation_id: "1",
      error: { code: "payload_too_large" },
    });
    send({ ...CALL, function_id: "f", data: "x".repeat(32 * MIB), invocation_id: "2" });
    expect(await closed()).toBe(1009);
  });

  it("closes the socket of a silent worker", async () => {
    fixture = await testService({ workerLimits: { silenceMs: 100 } });
    const { closed } = await open();
    expect(await closed()).toBe(4408);
  });

  it("discards messages to /worker/otel", async () => {
    const socket = new WebSocket(`${fixture.server.url.replace("http", "ws")}/worker/otel`);
    sockets.push(socket);
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send("anything");
    await new Promise<void>((resolve) => {
      socket.once("pong", () => resolve());
      socket.ping();
    });
    expect(socket.readyState).toBe(WebSocket.OPEN);
  });
});
