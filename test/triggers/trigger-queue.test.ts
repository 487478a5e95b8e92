import { describe, expect, it } from "vitest";
import { FunctionError } from "../../src/core/function-call.ts";
import type { BoundTrigger, RetryPolicy } from "../../src/core/trigger.ts";
import type { Delivery } from "../../src/triggers/delivery.ts";
import { TriggerQueue } from "../../src/triggers/trigger-queue.ts";
import { latch, until } from "../support/hosts/test-service.ts";

const FAILED: Delivery = {
  kind: "failed",
  what: "function",
  error: new FunctionError("invocation_failed", "no"),
};
const OVERLOADED: Delivery = {
  kind: "unserved",
  error: new FunctionError("overloaded", "later", { isUnserved: true }),
};

/** A queue with deliveries that the test resolves. */
function open(deliver: (seq: number) => Promise<Delivery> | Delivery, retry?: RetryPolicy) {
  const trigger: BoundTrigger = {
    id: "t",
    definition: {
      type: "stream",
      functionId: "f",
      config: { streamName: "s", retry },
      metadata: undefined,
    },
  };
  const done: number[] = [];
  const calls: number[] = [];
  const queue = new TriggerQueue({
    trigger,
    maxConcurrent: 4,
    maxBacklog: 100_000,
    read: async (seq) => ({ payload: String(seq), depth: 0 }),
    deliver: async (_trigger, { payload }) => {
      calls.push(Number(payload));
      return deliver(Number(payload));
    },
    isServed: () => true,
    onLost: async () => {},
    onDone: (seq) => done.push(seq),
    random: () => 0,
  });
  return { queue, done, calls };
}

describe("the queue of a trigger", () => {
  it("completes all of its jobs, waiting, paused or running, when its trigger ends", async () => {
    const running = latch();
    const { queue, done } = open(
      async (seq) => {
        if (seq === 2) await running.opened;
        return FAILED;
      },
      { maxAttempts: 5, initialBackoffMs: 3_600_000 },
    );
    queue.push(1, "pausing");
    queue.push(2, "running");
    queue.push(3, "running");
    await until(
      () => queue.tally.retried,
      (retried) => retried === 1,
    );
    queue.abandon();
    await until(
      () => done.length,
      (length) => length === 2,
    );
    running.open();
    await queue.whenIdle();
    await until(
      () => done.length,
      (length) => length === 3,
    );
    expect(done.toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
    expect(queue.pending).toBe(0);
  });

  it("leaves unfinished jobs to its source when it closes", async () => {
    const { queue, done } = open(() => FAILED, { maxAttempts: 5, initialBackoffMs: 3_600_000 });
    queue.push(1, "a");
    await until(
      () => queue.tally.retried,
      (retried) => retried === 1,
    );
    queue.push(2, "a");
    queue.close();
    await queue.whenIdle();
    expect(done).toEqual([]);
  });

  it("calls an overloaded function at most with its concurrency limit", async () => {
    const { queue, calls } = open(() => OVERLOADED);
    for (let seq = 1; seq <= 1000; seq++) queue.push(seq, `key ${seq}`);
    await until(
      () => calls.length,
      (length) => length >= 12,
    );
    expect(new Set(calls)).toEqual(new Set([1, 2, 3, 4]));
    expect(queue.pending).toBe(1000);
    queue.close();
    await queue.whenIdle();
  });

  it("never exceeds its concurrency limit, even when many pauses end together", async () => {
    let running = 0;
    let peak = 0;
    const failed = new Set<number>();
    const { queue, done } = open(
      async (seq) => {
        peak = Math.max(peak, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (failed.has(seq)) return { kind: "fired" };
        failed.add(seq);
        return FAILED;
      },
      { maxAttempts: 2, initialBackoffMs: 20 },
    );
    for (let seq = 1; seq <= 200; seq++) queue.push(seq, `key ${seq}`);
    await until(
      () => done.length,
      (length) => length === 200,
    );
    expect(peak).toBe(4);
    expect(queue.tally).toMatchObject({ fired: 200, retried: 200, failed: 0 });
  });
});
