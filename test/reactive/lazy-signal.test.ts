import { describe, expect, it } from "vitest";
import { LazySignal } from "../../src/functions/lazy-signal.ts";

describe("a signal that is made when somebody asks for it", () => {
  it("tells whoever asked before it was aborted, once, and why", () => {
    const lazy = new LazySignal();
    const { signal } = lazy;
    const told: unknown[] = [];
    signal.addEventListener("abort", () => told.push(signal.reason));
    lazy.abort("the first reason");
    lazy.abort("another");
    expect(told).toEqual(["the first reason"]);
    expect(lazy.signal).toBe(signal);
  });

  it("is aborted from the start for whoever asks later, with the first reason", () => {
    const lazy = new LazySignal();
    lazy.abort("the first reason");
    lazy.abort("another");
    expect(lazy.signal.aborted).toBe(true);
    expect(lazy.signal.reason).toBe("the first reason");
  });
});
