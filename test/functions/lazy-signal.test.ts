import { describe, expect, it } from "vitest";
import { LazySignal } from "../../src/functions/lazy-signal.ts";

describe("LazySignal", () => {
  it("notifies listeners added before the abort, once, with the reason", () => {
    const lazy = new LazySignal();
    const { signal } = lazy;
    const reasons: unknown[] = [];
    signal.addEventListener("abort", () => reasons.push(signal.reason));
    lazy.abort("the first reason");
    lazy.abort("another");
    expect(reasons).toEqual(["the first reason"]);
    expect(lazy.signal).toBe(signal);
  });

  it("is already aborted when first read after the abort, with the first reason", () => {
    const lazy = new LazySignal();
    lazy.abort("the first reason");
    lazy.abort("another");
    expect(lazy.signal.aborted).toBe(true);
    expect(lazy.signal.reason).toBe("the first reason");
  });
});
