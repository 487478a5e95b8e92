import { describe, expect, it } from "vitest";
import { FunctionError } from "../../src/core/function-call.ts";
import type { BoundTrigger, RetryPolicy } from "../../src/core/trigger.ts";
import type { Delivery } from "../../src/triggers/delivery.ts";
import { TriggerLane } from "../../src/triggers/trigger-queue.ts";
import { gate, until } from "../support/hosts/stage.ts";

const FAILED: Delivery = {
  kind: "failed",
  what: "function",
  error: new FunctionError("invocation_failed", "no"),
};
const OVERLOADED: Delivery = {
  kind: "unserved",
  error: new FunctionError("overloaded", "later", { isUnserved: true }),
};

/** A queue whose deliveries are resolved by the test. */
function open(answer: (seq: number) => Promise<Delivery> | Delivery, retry?: RetryPolicy) {
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
  const lane = new TriggerLane({
    trigger,
    maxConcurrent: 4,
    maxBacklog: 100_000,
    read: async (seq) => ({ payload: String(seq), depth: 0 }),
    deliver: async ({ payload }) => {
      calls.push(Number(payload));
      return answer(Number(payload));
    },
    isServed: () => true,
    onLost: async () => {},
    onDone: (seq) => done.push(seq),
    random: () => 0,
  });
  return { lane, done, calls };
}

describe("the queue of a trigger", () => {
  it("completes all of its jobs, waiting, paused or running, when its trigger ends", async () => {
    const running = gate();
    const { lane, done } = open(
      async (seq) => {
        if (seq === 2) await running.opened;
        return FAILED;
      },
      { maxAttempts: 5, initialBackoffMs: 3_600_000 },
    );
    lane.push(1, "pausing");
    lane.push(2, "running");
    lane.push(3, "running");
    await until(
      () => lane.tally.retried,
      (retried) => retried === 1,
    );
    lane.abandon();
    await until(
      () => done.length,
      (length) => length === 2,
    );
    running.open();
    await lane.whenIdle();
    await until(
      () => done.length,
      (length) => length === 3,
    );
    expect(done.toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
    expect(lane.pending).toBe(0);
  });

  it("leaves unfinished jobs to its source when it closes", async () => {
    const { lane, done } = open(() => FAILED, { maxAttempts: 5, initialBackoffMs: 3_600_000 });
    lane.push(1, "a");
    await until(
      () => lane.tally.retried,
      (retried) => retried === 1,
    );
    lane.push(2, "a");
    lane.close();
    await lane.whenIdle();
    expect(done).toEqual([]);
  });

  it("calls an overloaded function with no more jobs than may run at once", async () => {
    const { lane, calls } = open(() => OVERLOADED);
    for (let seq = 1; seq <= 1000; seq++) lane.push(seq, `key ${seq}`);
    await until(
      () => calls.length,
      (length) => length >= 12,
    );
    expect(new Set(calls)).toEqual(new Set([1, 2, 3, 4]));
    expect(lane.pending).toBe(1000);
    lane.close();
    await lane.whenIdle();
  });

  it("never exceeds its concurrency limit, also when many pauses end together", async () => {
    let running = 0;
    let most = 0;
    const failed = new Set<number>();
    const { lane, done } = open(
      async (seq) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (failed.has(seq)) return { kind: "fired" };
        failed.add(seq);
        return FAILED;
      },
      { maxAttempts: 2, initialBackoffMs: 20 },
    );
    for (let seq = 1; seq <= 200; seq++) lane.push(seq, `key ${seq}`);
    await until(
      () => done.length,
      (length) => length === 200,
    );
    expect(most).toBe(4);
    expect(lane.tally).toMatchObject({ fired: 200, retried: 200, failed: 0 });
  });
});
