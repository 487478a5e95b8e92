import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { type Stage, stagesOf, until } from "../support/hosts/stage.ts";

type Frame = Record<string, unknown> & { type: string };

const stage = stagesOf(inProcessHost);
let here: Stage;
const sockets: WebSocket[] = [];
beforeEach(async () => {
  here = await stage({ workerLimits: { silenceMs: 5000 } });
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.terminate();
});

/** A worker that says exactly what it is told to. */
async function open() {
  const socket = new WebSocket(`${here.server.url.replace("http", "ws")}/worker`);
  sockets.push(socket);
  const frames: Frame[] = [];
  let closeCode: number | undefined;
  socket.on("message", (data: Buffer) => frames.push(JSON.parse(data.toString()) as Frame));
  socket.on("close", (code) => (closeCode = code));
  await new Promise((resolve) => socket.once("open", resolve));
  const hears = (type: string, nth = 0) =>
    until(
      () => frames.filter((frame) => frame.type === type)[nth],
      (frame) => frame !== undefined,
    ) as Promise<Frame>;
  const registered = await hears("workerregistered");
  return {
    socket,
    frames,
    hears,
    registered,
    say: (frame: object) => socket.send(JSON.stringify(frame)),
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
  it("tells a worker who it is, calls its functions, and takes its answers", async () => {
    const { registered, say, hears } = await open();
    expect(registered).toMatchObject({
      worker_id: expect.any(String) as unknown,
      reattach_token: expect.any(String) as unknown,
    });
    say({ type: "registerfunction", id: "f" });
    say({ ...CALL, invocation_id: "settled" });
    await hears("invocationresult");
    const answer = here.service.trigger({ function_id: "f", payload: [1] });
    const { invocation_id, function_id, data } = await hears("invokefunction");
    expect([function_id, data]).toEqual(["f", [1]]);
    say({ type: "invocationresult", invocation_id, function_id, result: null });
    expect(await answer).toBe(null);
    const nothing = here.service.trigger({ function_id: "f" });
    const second = await hears("invokefunction", 1);
    say({ type: "invocationresult", invocation_id: second["invocation_id"], function_id });
    expect(await nothing).toBeUndefined();
  });

  it("leaves out the result of a call that has none, and sends null for null", async () => {
    const { say, hears } = await open();
    const get = { stream_name: "s", group_id: "g", item_id: "i" };
    say({ ...CALL, function_id: "stream::get", data: get, invocation_id: "1" });
    expect(await hears("invocationresult")).toEqual({
      type: "invocationresult",
      invocation_id: "1",
      function_id: "stream::get",
    });
    const send = { stream_name: "s", group_id: "g", data: 1 };
    say({ ...CALL, function_id: "stream::send", data: send, invocation_id: "2" });
    expect(await hears("invocationresult", 1)).toMatchObject({ result: null });
  });

  it("answers what it does not support with an error, and a void call with nothing", async () => {
    const { say, hears, frames } = await open();
    say({ ...CALL, action: { type: "void" } });
    say({ ...CALL, invocation_id: "q", action: { type: "enqueue", queue: "jobs" } });
    expect(await hears("invocationresult")).toMatchObject({
      invocation_id: "q",
      error: { code: "unsupported_action" },
    });
    say({ type: "registertriggertype", id: "cron" });
    expect(await hears("triggerregistrationresult")).toMatchObject({
      id: "cron",
      error: { code: "trigger_type_not_supported" },
    });
    say({ type: "registertrigger", id: "t", trigger_type: "cron", function_id: "f", config: {} });
    expect(await hears("triggerregistrationresult", 1)).toMatchObject({
      id: "t",
      trigger_type: "cron",
      function_id: "f",
      error: { code: "trigger_type_not_found" },
    });
    const config = { stream_name: "chat" };
    say({ type: "registertrigger", id: "u", trigger_type: "stream", function_id: "f", config });
    expect(await hears("triggerregistrationresult", 2)).toEqual({
      type: "triggerregistrationresult",
      id: "u",
      trigger_type: "stream",
      function_id: "f",
    });
    say({ type: "reattach", previous_worker_id: "nobody", reattach_token: "x" });
    say({ type: "unregistertriggertype", id: "cron" });
    say({ ...CALL, invocation_id: "last" });
    expect(await hears("invocationresult", 1)).toMatchObject({ invocation_id: "last" });
    expect(frames.filter(({ type }) => type === "invocationresult")).toHaveLength(2);
  });

  it("never obeys a function that is to be called over HTTP", async () => {
    const { say, hears } = await open();
    say({ type: "registerfunction", id: "f", invocation: { url: "http://127.0.0.1:1/" } });
    say({ ...CALL, invocation_id: "1" });
    await hears("invocationresult");
    await expect(here.service.trigger({ function_id: "f" })).rejects.toMatchObject({
      code: "function_not_found",
    });
  });

  it("keeps what a worker says of itself, whatever that is, and lives on", async () => {
    const { say, hears } = await open();
    const register = { ...CALL, function_id: "engine::workers::register" };
    for (const data of [{ name: "ann" }, null, 5, [], { name: 5 }, "x"])
      say({ ...register, data, action: { type: "void" } });
    say({ ...register, data: { name: "ann" }, invocation_id: "1" });
    expect(await hears("invocationresult")).toMatchObject({ invocation_id: "1", result: null });
  });

  it("closes the socket of a worker that sends garbage, and harms no other", async () => {
    const [garbage, other] = [await open(), await open()];
    other.say({ type: "registerfunction", id: "f" });
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
    other.say({ ...CALL, invocation_id: "1" });
    await other.hears("invocationresult");
    const answer = here.service.trigger({ function_id: "f" });
    const { invocation_id } = await other.hears("invokefunction");
    other.say({ type: "invocationresult", invocation_id, result: 1 });
    expect(await answer).toBe(1);
  });

  it("survives what is nested deeper than can be written, and says so", async () => {
    const { say, hears, socket } = await open();
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    socket.send(
      `{"type":"invokefunction","invocation_id":"1","function_id":"f","data":${deep},"metadata":${deep}}`,
    );
    expect(await hears("invocationresult")).toMatchObject({
      invocation_id: "1",
      error: { code: "deserialization_error" },
    });
    say({ type: "registerfunction", id: "f" });
    say({ ...CALL, invocation_id: "2" });
    await hears("invocationresult", 1);
    const answer = here.service.trigger({ function_id: "f" });
    const { invocation_id } = await hears("invokefunction");
    socket.send(
      `{"type":"invocationresult","invocation_id":"${String(invocation_id)}","result":${deep}}`,
    );
    await expect(answer).rejects.toMatchObject({ code: "invocation_failed" });
    const failing = here.service.trigger({ function_id: "f" });
    const second = await hears("invokefunction", 1);
    socket.send(
      `{"type":"invocationresult","invocation_id":"${String(second["invocation_id"])}","error":${deep}}`,
    );
    await expect(failing).rejects.toMatchObject({ code: "invocation_failed" });
  });

  it("does not call a worker again for a function that it says it does not have", async () => {
    const [one, other] = [await open(), await open()];
    for (const { say, hears } of [one, other]) {
      say({ type: "registerfunction", id: "f" });
      say({ ...CALL, invocation_id: "1" });
      await hears("invocationresult");
    }
    const config = { stream_name: "chat" };
    one.say({ type: "registertrigger", id: "t", trigger_type: "stream", function_id: "f", config });
    await one.hears("triggerregistrationresult");
    other.socket.on("message", (data: Buffer) => {
      const { type, invocation_id } = JSON.parse(data.toString()) as Frame;
      if (type === "invokefunction") other.say({ type: "invocationresult", invocation_id });
    });
    // It dropped it while it was away, and could not say so.
    one.socket.on("message", (data: Buffer) => {
      const { type, invocation_id } = JSON.parse(data.toString()) as Frame;
      const error = { code: "function_not_found", message: "Function not found" };
      if (type === "invokefunction") one.say({ type: "invocationresult", invocation_id, error });
    });
    for (let n = 0; n < 6; n++)
      await here.service.set({ streamName: "chat", groupId: "g", itemId: "i", data: n });
    await until(
      () => here.service.triggers()[0]?.counts.fired,
      (fired) => fired === 6,
    );
    const calls = one.frames.filter(({ type }) => type === "invokefunction");
    expect(calls.length).toBeLessThanOrEqual(1);
  });

  it("ignores answers to calls that were never made, or were answered", async () => {
    const { say, hears } = await open();
    say({ type: "registerfunction", id: "f" });
    say({ type: "invocationresult", invocation_id: "999", result: 1 });
    say({ ...CALL, invocation_id: "1" });
    await hears("invocationresult");
    const answer = here.service.trigger({ function_id: "f" });
    const { invocation_id } = await hears("invokefunction");
    say({ type: "invocationresult", invocation_id, result: "one" });
    say({ type: "invocationresult", invocation_id, result: "two" });
    expect(await answer).toBe("one");
  });

  it("moves what a worker had to the socket on which it comes back, once", async () => {
    const first = await open();
    first.say({ type: "registerfunction", id: "f" });
    const config = { stream_name: "chat" };
    first.say({
      type: "registertrigger",
      id: "t",
      trigger_type: "stream",
      function_id: "f",
      config,
    });
    await first.hears("triggerregistrationresult");
    first.socket.terminate();
    await until(
      () => here.service.triggers()[0]?.served,
      (served) => served === false,
    );
    const back = await open();
    const { worker_id, reattach_token } = first.registered;
    back.say({ type: "reattach", previous_worker_id: worker_id, reattach_token });
    back.say({ type: "registerfunction", id: "f" });
    back.say({
      type: "registertrigger",
      id: "t",
      trigger_type: "stream",
      function_id: "f",
      config,
    });
    await back.hears("triggerregistrationresult");
    expect(here.service.triggers()).toHaveLength(1);
    await here.service.set({ streamName: "chat", groupId: "g", itemId: "i", data: 1 });
    const { invocation_id } = await back.hears("invokefunction");
    back.say({ type: "invocationresult", invocation_id });
    await until(
      () => here.service.triggers()[0]?.counts.fired,
      (fired) => fired === 1,
    );
    back.say({ type: "unregistertrigger", id: "t", trigger_type: "stream" });
    await until(
      () => here.service.triggers().length,
      (length) => length === 0,
    );
    expect(back.frames.filter(({ type }) => type === "invokefunction")).toHaveLength(1);
  });

  it("refuses a payload over 4 MiB, and closes the socket for a frame over 32 MiB", async () => {
    const { say, hears, closed } = await open();
    say({ type: "registerfunction", id: "f" });
    say({ ...CALL, function_id: "f", data: "x".repeat(4 * MIB), invocation_id: "1" });
    expect(await hears("invocationresult")).toMatchObject({
      invocation_id: "1",
      error: { code: "payload_too_large" },
    });
    say({ ...CALL, function_id: "f", data: "x".repeat(32 * MIB), invocation_id: "2" });
    expect(await closed()).toBe(1009);
  });

  it("ends the socket of a worker from which nothing comes", async () => {
    here = await stage({ workerLimits: { silenceMs: 100 } });
    const { closed } = await open();
    expect(await closed()).toBe(4408);
  });

  it("reads away what is sent to /worker/otel", async () => {
    const socket = new WebSocket(`${here.server.url.replace("http", "ws")}/worker/otel`);
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
