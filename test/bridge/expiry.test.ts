import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Expiry } from "../../src/bridge/expiry.ts";
import { DEFAULT_BRIDGE_LIMITS } from "../../src/bridge/limits.ts";
import { type Caller, LOCAL } from "../../src/rights/caller.ts";
import { Moments } from "../../src/timers/moments.ts";

const NOW = 1_000_000_000;
const caller: Caller = { ...LOCAL, kind: "user", user: "ann", expiresAtMs: NOW + 10_000 };

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

/** The expiry of a caller, and what its owner was notified of, with the time since the start. */
function expiryOf(of: Caller, mayRenew: boolean, renewed: Caller) {
  const notices: [what: string, afterMs: number][] = [];
  const expiry = Expiry.of(
    of,
    { address: "", compression: undefined, bufferedBytes: 7, cut: () => {}, send: () => {} },
    {
      renew: () => new Promise((resolve) => setTimeout(() => resolve(renewed), 5000)),
      deadlines: new Moments(),
      limits: DEFAULT_BRIDGE_LIMITS,
    },
    {
      onExpired: () => (notices.push(["expired", Date.now() - NOW]), mayRenew),
      onNotRenewed: () => notices.push(["not renewed", Date.now() - NOW]),
    },
  );
  return { expiry, notices };
}

/** The expiry of a caller whose credentials end after 10 s. */
function open({
  mayRenew = true,
  renewed = caller,
}: { mayRenew?: boolean; renewed?: Caller } = {}) {
  const { expiry, notices } = expiryOf(caller, mayRenew, renewed);
  if (expiry === undefined) throw new Error("The caller has an end.");
  return { expiry, notices };
}

describe("the expiry of a socket's caller", () => {
  it("is nothing for a caller whose credentials have no end", () => {
    const { expiry } = expiryOf({ ...caller, expiresAtMs: undefined }, true, caller);
    expect(expiry).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("takes no frames from the very moment on, before any timer", () => {
    const { expiry, notices } = open();
    vi.setSystemTime(NOW + 9999);
    expect([expiry.isOver, expiry.bufferedBytes]).toEqual([false, 7]);
    vi.setSystemTime(NOW + 10_000);
    expect([expiry.isOver, expiry.bufferedBytes]).toEqual([true, Infinity]);
    expect(notices).toEqual([]);
  });

  it("ends 30 s after the moment when it is not renewed", async () => {
    const { notices } = open();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(notices.map(([what]) => what)).toEqual(["expired", "not renewed"]);
    const [expiredMs = 0, endedMs = 0] = notices.map(([, afterMs]) => afterMs);
    expect(expiredMs - 10_000).toBeLessThanOrEqual(100);
    expect(endedMs).toBeGreaterThanOrEqual(40_000);
    expect(endedMs).toBeLessThanOrEqual(40_100);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is notified once when its caller may not renew, and has no timer once it is closed", async () => {
    const { notices } = open({ mayRenew: false });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(notices.map(([what]) => what)).toEqual(["expired"]);
    open().expiry.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("continues with the new end, which it reports again", async () => {
    const { expiry, notices } = open({ renewed: { ...caller, expiresAtMs: NOW + 100_000 } });
    // The token comes at the last moment, and its verification takes longer.
    await vi.advanceTimersByTimeAsync(39_000);
    const renewing = expiry.renew("token", caller);
    await vi.advanceTimersByTimeAsync(10_000);
    expect((await renewing).expiresAtMs).toBe(NOW + 100_000);
    expect(expiry.isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(100_000);
    const rounded = notices.map(([what, afterMs]) => [what, Math.floor(afterMs / 1000)]);
    expect(rounded).toEqual([
      ["expired", 10],
      ["expired", 100],
      ["not renewed", 130],
    ]);
  });

  it.each([
    ["another user", { ...caller, user: "bob" }],
    ["another kind of caller", { ...LOCAL, user: "ann" }],
    ["another key", { ...caller, author: "key:other" }],
  ])("ends after a renewal in the last moment by %s", async (_what, renewed) => {
    const { expiry, notices } = open({ renewed });
    await vi.advanceTimersByTimeAsync(39_000);
    const renewing = expiry.renew("token", caller).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await renewing).toMatchObject({ reason: "AUTH_REFUSED" });
    expect(notices.map(([what]) => what)).toEqual(["expired", "not renewed"]);
    expect(expiry.isOver).toBe(true);
  });

  it("is over for good when it was closed during a renewal", async () => {
    const { expiry, notices } = open({ renewed: { ...caller, expiresAtMs: NOW + 100_000 } });
    const renewing = expiry.renew("token", caller);
    expiry.close();
    await vi.advanceTimersByTimeAsync(300_000);
    await renewing;
    expect(notices).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
