import { BodyBudget } from "../../src/limits/body-budget.ts";
import { describe, expect, it } from "vitest";
import { SYSTEM } from "../../src/webhooks/environment.ts";
import { SECRET, call, failureOf, hasty, hookTo } from "./calling.ts";
import { answering, receive, signatureOf } from "./receiver.ts";

const NOT_JSON =
  "invocation_failed: The function orders::notify responded with a body that is not JSON; it may respond with any JSON value, or nothing.";
const TOO_MUCH =
  "invocation_failed: The function orders::notify responded with too much; its response may have up to 4194304 bytes.";
const LIMIT = 4 * 1024 * 1024;

describe("a call of a webhook", () => {
  it("is a POST of the payload as JSON, signed with the secret", async () => {
    const receiver = await receive(answering(200, '{"ok":true}'));
    const hook = hookTo(`${receiver.url}?a=1`, {}, { now: () => 1_700_000_000_999 });
    expect(await call(hook, { payload: '{"text":"grüße 🎉"}' })).toBe('{"ok":true}');
    const [request] = receiver.received;
    expect(request).toMatchObject({
      method: "POST",
      path: "/hook?a=1",
      body: '{"text":"grüße 🎉"}',
      headers: {
        "content-type": "application/json",
        "content-length": "23",
        "webhook-timestamp": "1700000000",
        "millrace-function": "orders::notify",
      },
    });
    expect(request?.headers["webhook-id"]).toMatch(/^msg_[\w-]{20,}$/);
    expect(request?.headers["webhook-signature"]).toBe(request && signatureOf(request, SECRET));
    expect(request?.headers).not.toHaveProperty("millrace-metadata");
  });

  it("has a unique id", async () => {
    const receiver = await receive(answering(204));
    const hook = hookTo(receiver.url);
    await Promise.all([call(hook), call(hook), call(hook)]);
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(3);
  });

  it.each([
    ["orders", "orders"],
    ["größe", "gr%C3%B6%C3%9Fe"],
    [" 100% ", "%20100%25%20"],
    ["a\u{1F389}", "a%F0%9F%8E%89"],
  ])("names the function %j so that decodeURIComponent restores it", async (id, header) => {
    const receiver = await receive(answering(204));
    await call(hookTo(receiver.url, { id }));
    expect(receiver.received[0]?.headers["millrace-function"]).toBe(header);
    expect(decodeURIComponent(header)).toBe(id);
  });

  it("carries the metadata, literally when it is ASCII", async () => {
    const receiver = await receive(answering(204));
    const hook = hookTo(receiver.url);
    await call(hook, { metadata: '{"by": ["ann", 1]}' });
    await call(hook, { metadata: '"ä%\\u0000"' });
    expect(receiver.received.map(({ headers }) => headers["millrace-metadata"])).toEqual([
      '{"by": ["ann", 1]}',
      '"%C3%A4%25\\u0000"',
    ]);
  });

  it("is refused when its metadata is too large for a header", async () => {
    const receiver = await receive(answering(204));
    const hook = hookTo(receiver.url);
    await call(hook, { metadata: `"${"a".repeat(8190)}"` });
    expect(await failureOf(hook, { metadata: `"${"a".repeat(8191)}"` })).toBe(
      "payload_too_large: The metadata for orders::notify is too large for a header; it may have up to 8192 bytes there.",
    );
    expect(receiver.received).toHaveLength(1);
  });

  it("reuses the connection of an earlier call", async () => {
    const receiver = await receive(answering(200, "1"));
    const hook = hookTo(receiver.url);
    for (let n = 0; n < 5; n++) await call(hook);
    expect(receiver.received).toHaveLength(5);
    expect(receiver.connections()).toBe(1);
  });
});

describe("the response of a webhook", () => {
  it.each(["null", "0", '"text"', "[1, 2]", ' {"a":\n1} '])("%j is the result", async (body) => {
    const receiver = await receive(answering(201, body));
    expect(await call(hookTo(receiver.url))).toBe(body);
  });

  it.each([200, 202, 204])("is no result with status %d and no body", async (status) => {
    const receiver = await receive(answering(status));
    expect(await call(hookTo(receiver.url))).toBeUndefined();
  });

  it.each([
    ["text", "hunter2 is not JSON"],
    ["a page", "<html>"],
    ["JSON that is cut short", '{"a":'],
    ["blanks", " \n"],
    ["no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
  ])("is refused when it is %s, and not shown", async (_, body) => {
    const receiver = await receive(answering(200, body));
    expect(await failureOf(hookTo(receiver.url))).toBe(NOT_JSON);
    expect(receiver.received).toHaveLength(1);
  });

  it("may have 4 MiB", async () => {
    const body = `"${"a".repeat(LIMIT - 2)}"`;
    const receiver = await receive(answering(200, body));
    expect(await call(hookTo(receiver.url))).toBe(body);
  });

  it("is not read when its content-length is larger", async () => {
    const receiver = await receive((response) => {
      response.writeHead(200, { "content-length": LIMIT + 1 }).flushHeaders();
    });
    expect(await failureOf(hookTo(receiver.url))).toBe(TOO_MUCH);
    await receiver.deserted();
    expect(receiver.received).toHaveLength(1);
  });

  it("is not read to its end when it never ends", async () => {
    const receiver = await receive((response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(64 * 1024, " ")));
      };
      response.on("drain", more);
      response.writeHead(200);
      more();
    });
    expect(await failureOf(hookTo(receiver.url))).toBe(TOO_MUCH);
    await receiver.deserted();
    expect(receiver.received).toHaveLength(1);
  });

  it("takes from the budget of bodies while it is read, and fails its call where that has no room", async () => {
    const budget = new BodyBudget(1024 * 1024);
    const receiver = await receive(answering(200, `"${"x".repeat(600_000)}"`));
    const hook = hookTo(receiver.url, {}, {}, budget);
    expect(await call(hook)).toHaveLength(600_002);
    expect(budget.heldBytes).toBe(0);
    budget.take(500_000);
    expect(await failureOf(hook)).toContain("held as many bytes of requests and responses");
    expect(budget.heldBytes).toBe(500_000);
    expect(receiver.received).toHaveLength(2);
  });
});

describe("a failed attempt", () => {
  it("is repeated with the same id and body, signed anew", async () => {
    const receiver = await receive((response, index, request) =>
      answering(index < 2 ? 503 : 200, index < 2 ? "" : '"done"')(response, index, request),
    );
    let time = 1_700_000_000_000;
    const now = () => (time += 1000);
    expect(await call(hookTo(receiver.url, {}, { ...hasty(), now }))).toBe('"done"');
    const { received } = receiver;
    expect(received).toHaveLength(3);
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(received.map(({ headers }) => headers["webhook-timestamp"])).size).toBe(3);
    for (const request of received) {
      expect(request.body).toBe('{"order":7}');
      expect(request.headers["webhook-signature"]).toBe(signatureOf(request, SECRET));
    }
  });

  it.each([429, 500, 502, 503, 599])("is repeated after status %d", async (status) => {
    const receiver = await receive(answering(status, "hunter2"));
    expect(await failureOf(hookTo(receiver.url, {}, hasty()))).toBe(
      `invocation_failed: The function orders::notify responded to attempt 3 with status ${status}; it may respond with a status from 200 to 299.`,
    );
    expect(receiver.received).toHaveLength(3);
  });

  it.each([301, 304, 400, 401, 404, 408, 410, 422, 451])(
    "is not repeated after status %d",
    async (status) => {
      const receiver = await receive(answering(status));
      expect(await failureOf(hookTo(receiver.url, {}, hasty()))).toBe(
        `invocation_failed: The function orders::notify responded to attempt 1 with status ${status}; it may respond with a status from 200 to 299.`,
      );
      expect(receiver.received).toHaveLength(1);
    },
  );

  it("is repeated when the connection broke, before or within a response", async () => {
    const receiver = await receive((response, index) => {
      if (index === 0) response.destroy();
      else if (index === 1) {
        response.writeHead(200, { "content-length": 10 }).write("12345");
        setImmediate(() => response.destroy());
      } else response.end("3");
    });
    expect(await call(hookTo(receiver.url, {}, hasty()))).toBe("3");
    expect(receiver.received).toHaveLength(3);
  });

  it("ends when the response switches to another protocol", async () => {
    const receiver = await receive((response, index) => {
      const head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
      if (index === 0) response.socket?.end(head);
      else response.end("2");
    });
    expect(await call(hookTo(receiver.url, {}, hasty()))).toBe("2");
  });

  it("is reported with the error code of the network when the host is unreachable", async () => {
    const unknown = Object.assign(new Error("There is no such host."), { code: "ENOTFOUND" });
    const hook = hookTo(
      "http://hooks.test/",
      {},
      { ...hasty(), lookup: (_host, _options, callback) => callback(unknown, "") },
    );
    expect(await failureOf(hook)).toBe(
      "invocation_failed: The function orders::notify could not be reached in attempt 3 (ENOTFOUND).",
    );
    await expect(call(hook)).rejects.toMatchObject({
      cause: { message: unknown.message, code: "ENOTFOUND" },
    });
  });

  it("is reported without the received bytes when those are not HTTP", async () => {
    const receiver = await receive((response) => response.socket?.end("hunter2\r\n\r\n"));
    const error: unknown = await call(hookTo(receiver.url, {}, hasty())).catch(
      (reason: unknown) => reason,
    );
    expect(error).toHaveProperty("message", expect.stringContaining("(HPE_INVALID_CONSTANT)"));
    expect(error).toHaveProperty("cause.code", "HPE_INVALID_CONSTANT");
    expect(error).not.toHaveProperty("cause.rawPacket");
  });

  it("is repeated up to maxAttempts", async () => {
    const receiver = await receive(answering(500));
    for (const maxAttempts of [1, 2, 7])
      await failureOf(hookTo(receiver.url, { maxAttempts }, hasty()));
    expect(receiver.received).toHaveLength(1 + 2 + 7);
  });
});

describe("the wait before the next attempt", () => {
  const waitsFor = async (header: string | undefined, random = 0, timeoutMs = 3_600_000) => {
    const receiver = await receive(
      answering(503, "", header === undefined ? {} : { "retry-after": header }),
    );
    const { waits, delay } = hasty();
    const options = { timeoutMs, maxAttempts: 4 };
    const now = () => Date.parse("Thu, 01 Jan 2026 00:00:00 GMT");
    const hook = hookTo(receiver.url, options, { delay, now, random: () => random });
    await failureOf(hook, { timeoutMs: 3_600_000 });
    return waits;
  };

  it("doubles, less a random part of up to half", async () => {
    expect(await waitsFor(undefined, 0)).toEqual([250, 500, 1000]);
    expect(await waitsFor(undefined, 0.5)).toEqual([188, 375, 750]);
    expect(await waitsFor(undefined, 0.9999)).toEqual([125, 250, 500]);
  });

  it("is at least what retry-after asks for, in seconds or until a date", async () => {
    expect(await waitsFor("7")).toEqual([7000, 7000, 7000]);
    expect(await waitsFor("Thu, 01 Jan 2026 00:01:00 GMT")).toEqual([60_000, 60_000, 60_000]);
  });

  it("ignores a retry-after that is shorter, in the past, or invalid", async () => {
    for (const header of ["0", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", "-5"])
      expect([header, await waitsFor(header)]).toEqual([header, [250, 500, 1000]]);
  });

  it("is skipped when the deadline of the call would pass first", async () => {
    expect(await waitsFor("60", 0, 59_000)).toEqual([]);
    expect(await waitsFor("3600000000000")).toEqual([]);
    expect(await waitsFor("61", 0, 3_600_000)).toEqual([61_000, 61_000, 61_000]);
  });

  it("ends when the call is given up", async () => {
    const receiver = await receive(answering(503));
    const stop = new AbortController();
    const delay = async (ms: number, signal: AbortSignal) => {
      setImmediate(() => stop.abort());
      await SYSTEM.delay(ms, signal);
    };
    const times = { initialBackoffMs: 3_600_000, timeoutMs: 7_200_000 };
    const hook = hookTo(receiver.url, times, { delay });
    expect(await failureOf(hook, { signal: stop.signal, timeoutMs: 7_200_000 })).toBe(
      "invocation_stopped: The call of orders::notify was given up.",
    );
    expect(receiver.received).toHaveLength(1);
  });
});
