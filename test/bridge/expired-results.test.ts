import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SnapshotMemory } from "../../src/limits/snapshot-memory.ts";
import { LOCAL } from "../../src/rights/caller.ts";
import { CallOrder, WaitingCalls } from "../../src/bridge/call-order.ts";
import { type SocketCall, SocketCalls } from "../../src/bridge/socket-calls.ts";
import { type OutletSocket, SendQueue } from "../../src/bridge/send-queue.ts";
import { contentOf } from "../../src/bridge/text-frame.ts";

const EXPIRES_AT_MS = 10_000;

describe("a call whose socket's credentials expire before its result", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Makes a call and has time pass before its result. @returns the texts of the responses. */
  const resultOf = async (isRead: boolean, renewedUntilMs?: number) => {
    let respond = (_response: string) => {};
    vi.setSystemTime(EXPIRES_AT_MS - 1);
    const result = new Promise<string>((resolve) => (respond = resolve));
    const call: SocketCall = { group: undefined, isRead, run: () => result };
    const texts: string[] = [];
    const outlet: OutletSocket = {
      ...{ bufferedBytes: 0, compression: undefined, address: "a", cut: () => {} },
      send(frame, taken) {
        texts.push(contentOf(frame).toString());
        taken();
      },
    };
    const method = { maxResponseBytes: 100, require: () => {}, prepare: () => call };
    const socket = {
      caller: { ...LOCAL, expiresAtMs: EXPIRES_AT_MS },
      ...{ isClosed: false, closeWith: () => {} },
    };
    const calls = new SocketCalls(
      {
        methods: new Map([["M", method]]),
        memory: new SnapshotMemory(),
        limits: { maxCalls: 10, maxResultBytes: 10_000 },
        waiting: new WaitingCalls(),
      },
      socket,
      new SendQueue(outlet),
      undefined,
      { order: new CallOrder(new WaitingCalls()), mayStart: () => true },
    );
    calls.receive({ type: "call", id: 1, method: "M", params: {} }, 10);
    vi.setSystemTime(EXPIRES_AT_MS);
    if (renewedUntilMs !== undefined) socket.caller.expiresAtMs = renewedUntilMs;
    respond('{"secret":1}');
    await new Promise((resolve) => setImmediate(resolve));
    return texts.join("");
  };

  it("gets AUTH_EXPIRED instead of what was read", async () => {
    const text = await resultOf(true);
    expect(text).toContain("AUTH_EXPIRED");
    expect(text).not.toContain("secret");
  });

  it("gets what was read when they were renewed, and the result of a write", async () => {
    expect(await resultOf(true, EXPIRES_AT_MS + 1)).toContain("secret");
    expect(await resultOf(false)).toContain("secret");
  });
});
