import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fifo } from "../../src/core/fifo.ts";

/** Takes all elements. */
function drain<T>(fifo: Fifo<T>): (T | undefined)[] {
  const taken: (T | undefined)[] = [];
  while (fifo.length > 0) taken.push(fifo.shift());
  return taken;
}

describe("Fifo", () => {
  it("returns undefined while it is empty", () => {
    const fifo = new Fifo<string>();
    expect(fifo.length).toBe(0);
    expect(fifo.shift()).toBeUndefined();
    expect(fifo.length).toBe(0);
  });

  it("returns elements in the order they were added", () => {
    const fifo = new Fifo<string>();
    fifo.push("a");
    fifo.push("b");
    expect(fifo.length).toBe(2);
    expect(fifo.shift()).toBe("a");
    fifo.push("c");
    expect(drain(fifo)).toEqual(["b", "c"]);
    expect(fifo.shift()).toBeUndefined();
    fifo.push("d");
    expect(drain(fifo)).toEqual(["d"]);
  });

  it("counts undefined elements like any other", () => {
    const fifo = new Fifo<string | undefined>();
    fifo.push(undefined);
    fifo.push("a");
    expect(fifo.length).toBe(2);
    expect(drain(fifo)).toEqual([undefined, "a"]);
  });

  it("is usable after clear", () => {
    const fifo = new Fifo<number>();
    for (let i = 0; i < 100; i++) fifo.push(i);
    for (let i = 0; i < 20; i++) fifo.shift();
    fifo.clear();
    expect(fifo.length).toBe(0);
    expect(fifo.shift()).toBeUndefined();
    fifo.push(7);
    expect(drain(fifo)).toEqual([7]);
  });

  it("behaves as an array under random operations", () => {
    const steps = fc.array(
      fc.oneof(
        { weight: 10, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 40 }) }) },
        { weight: 10, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 40 }) }) },
        { weight: 1, arbitrary: fc.constant("clear" as const) },
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const fifo = new Fifo<number>();
        let model: number[] = [];
        let made = 0;
        for (const step of all) {
          if (step === "clear") {
            fifo.clear();
            model = [];
          } else if ("push" in step) {
            for (let i = 0; i < step.push; i++) {
              fifo.push(made);
              model.push(made++);
            }
          } else {
            for (let i = 0; i < step.shift; i++) expect(fifo.shift()).toBe(model.shift());
          }
          expect(fifo.length).toBe(model.length);
        }
        expect(drain(fifo)).toEqual(model);
      }),
      { numRuns: 300 },
    );
  });

  // Moving all elements at each step would take minutes.
  it("costs the same per operation with a million elements", () => {
    const fifo = new Fifo<number>();
    for (let i = 0; i < 1_000_000; i++) fifo.push(i);
    let wrong = 0;
    for (let i = 0; i < 1_000_000; i++) if (fifo.shift() !== i) wrong++;
    expect(wrong).toBe(0);
    expect(fifo.length).toBe(0);
  });
});
