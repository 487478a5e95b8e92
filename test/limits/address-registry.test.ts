import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AddressRegistry } from "../../src/limits/address-registry.ts";

const RATE = { perSecond: 1, burst: 1 };

describe("the address registry", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => void vi.useRealTimers());

  it("drops an address some time after its last use", () => {
    const registry = new AddressRegistry(RATE);
    const state = registry.get("a");
    vi.advanceTimersByTime(59_000);
    expect(registry.get("a")).toBe(state);
    vi.advanceTimersByTime(120_000);
    registry.get("b");
    vi.advanceTimersByTime(120_000);
    registry.get("b");
    expect(registry.size).toBe(1);
  });

  it("holds a bounded number of addresses, and drops the least recently used first", () => {
    const registry = new AddressRegistry(RATE, 100);
    const busy = registry.get("busy");
    for (let i = 0; i < 10_000; i++) {
      registry.get(`address ${i}`);
      expect(registry.get("busy")).toBe(busy);
      expect(registry.size).toBeLessThanOrEqual(100);
    }
  });

  it("keeps an address while it has connections, however many others are used", () => {
    const registry = new AddressRegistry(RATE, 10);
    const state = registry.connect("a");
    registry.connect("a");
    registry.disconnect("a");
    for (let i = 0; i < 100; i++) registry.get(`address ${i}`);
    vi.advanceTimersByTime(600_000);
    expect(registry.get("a")).toBe(state);
    expect(state.connections).toBe(1);
    registry.disconnect("a");
    for (let i = 0; i < 100; i++) registry.get(`address ${i}`);
    expect(registry.get("a")).not.toBe(state);
  });
});
