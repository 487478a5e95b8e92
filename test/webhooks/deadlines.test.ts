import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { call, failureOf, hasty, hookTo } from "./calling.ts";
import { answering, receive } from "./receiver.ts";

describe("a call that takes too long", () => {
  const late = (ms: number) => `TIMEOUT: The function orders::notify took more than ${ms} ms.`;
  const pass = (ms: number) => vi.advanceTimersByTime(ms);

  beforeEach(() => {
    // Fakes the clock of deadlines; connections use another one.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("ends after the timeout of the caller or of the function, whichever is shorter", async () => {
    const receiver = await receive(() => pass(5000));
    const hook = hookTo(receiver.url);
    expect(await failureOf(hook, { timeoutMs: 5000 })).toBe(late(5000));
    expect(await failureOf(hookTo(receiver.url, { timeoutMs: 4000 }))).toBe(late(4000));
    await receiver.deserted();
  });

  it("ends after ten seconds by default", async () => {
    const receiver = await receive((response, index) => {
      pass(index === 0 ? 9999 : 10_000);
      response.end("1");
    });
    const hook = hookTo(receiver.url);
    expect(await call(hook)).toBe("1");
    expect(await failureOf(hook)).toBe(late(10_000));
  });

  it("ends in the middle of a response", async () => {
    const receiver = await receive((response) => {
      response.writeHead(200).write("[", () => setImmediate(pass, 10_000));
    });
    expect(await failureOf(hookTo(receiver.url))).toBe(late(10_000));
    await receiver.deserted();
  });

  it("ends during the lookup of the host", async () => {
    const hook = hookTo(
      "http://hooks.test/",
      {},
      {
        lookup: () => void setImmediate(pass, 10_000),
      },
    );
    expect(await failureOf(hook)).toBe(late(10_000));
  });

  it("ends with all its attempts", async () => {
    const receiver = await receive((response) => {
      pass(4000);
      response.writeHead(503).end();
    });
    expect(await failureOf(hookTo(receiver.url, { maxAttempts: 9 }, hasty()))).toBe(late(10_000));
    expect(receiver.received).toHaveLength(3);
  });
});

describe("a call that its caller gives up", () => {
  it("ends at once, and so does its request", async () => {
    const stop = new AbortController();
    const receiver = await receive(() => stop.abort());
    expect(await failureOf(hookTo(receiver.url), { signal: stop.signal })).toBe(
      "invocation_stopped: The call of orders::notify was given up.",
    );
    await receiver.deserted();
  });

  it("sends nothing when it was given up before", async () => {
    const receiver = await receive(answering(200));
    await failureOf(hookTo(receiver.url), { signal: AbortSignal.abort() });
    expect(receiver.connections()).toBe(0);
  });
});

describe("closing a webhook", () => {
  it("closes its connections", async () => {
    const receiver = await receive(answering(200));
    const hook = hookTo(receiver.url);
    await call(hook);
    const before = performance.now();
    hook.close();
    hook.close();
    await receiver.deserted();
    // Idle connections would end after four seconds anyway.
    expect(performance.now() - before).toBeLessThan(3000);
  });

  it("ends running calls, and refuses new ones", async () => {
    const receiver = await receive(() => hook.close());
    const hook = hookTo(receiver.url);
    expect(await failureOf(hook)).toBe(
      "invocation_stopped: The provider of orders::notify went away during the call.",
    );
    expect(await failureOf(hook)).toBe(
      "invocation_stopped: The provider of orders::notify is closed.",
    );
    expect(receiver.received).toHaveLength(1);
  });
});
