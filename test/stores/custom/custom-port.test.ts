import { describe, expect, it } from "vitest";
import { localCoordinator } from "../../../src/coordinators/local/local-coordinator.ts";
import type { Commit, Store } from "../../../src/core/store.ts";
import { DEFAULT_FUNCTION_LIMITS } from "../../../src/functions/function-limits.ts";
import { FunctionRegistry } from "../../../src/functions/function-registry.ts";
import { handlerProvider } from "../../../src/functions/handler.ts";
import { customStreams } from "../../../src/stores/custom/custom-store.ts";
import { createOutside } from "../../../src/stores/custom/outside.ts";
import { memoryStore } from "../../../src/stores/memory/memory-store.ts";
import { changesSince, groupOf, mark, put, remove } from "../suite/fixture.ts";
import { once } from "../suite/idempotency.ts";
import { record } from "../suite/outbox.ts";
import { describeStore } from "../suite/store.suite.ts";

/** A store with the custom stream `custom`, over another store. */
async function around(within: Store): Promise<{ store: Store; written: unknown[] }> {
  const written: unknown[] = [];
  const coordinator = localCoordinator();
  const functions = new FunctionRegistry({ coordinator, limits: DEFAULT_FUNCTION_LIMITS });
  const store = customStreams(within, createOutside(functions.call, coordinator.registry));
  const set = handlerProvider(({ item_id, data }) => void written.push([item_id, data]));
  await functions.register("stream::set(custom)", set);
  return { store, written };
}

// A custom stream must not affect ordinary ones.
describeStore("memory, with a custom stream beside,", async (request) => {
  const within = memoryStore({ ...request, sweepIntervalMs: 0 });
  const { store } = await around(within);
  return { store, sweep: async () => within.sweep(), dispose: () => store.close() };
});

describe("the port of a store with custom streams", () => {
  const group = groupOf("room", "custom");

  it("runs the commits of one call in order, each on its own, and unsupported ones not at all (G1)", async () => {
    const { store, written } = await around(memoryStore({ sweepIntervalMs: 0 }));
    const commits: Commit[] = [
      { mutations: [put("a", 1)] },
      { mutations: [put("b", 1), put("c", 1)] },
      { mutations: [] },
      { mutations: [put("a", 2, 1)] },
      { mutations: [put("a", 2)], expectedEpoch: "" },
      { mutations: [put("a", 2)], idempotency: once("k") },
      { mutations: [mark("m", "x")] },
      { mutations: [remove("a")] },
      { mutations: [record("r", 1, 2)] },
    ];
    const outcomes = await store.run(group, commits);
    expect(
      outcomes.map((outcome) => (outcome.ok ? outcome.position.revision : outcome.error.reason)),
    ).toEqual([1, ...Array.from({ length: 5 }, () => "CUSTOM_STREAM_UNSUPPORTED"), 2, 3, 4]);
    expect(written).toEqual([
      ["a", 1],
      ["m", "x"],
    ]);
    expect(await changesSince(store, group, 0)).toMatchObject([
      { type: "create", itemId: "a" },
      { type: "create", itemId: "m" },
      { type: "delete", itemId: "a" },
      { type: "update", itemId: "r" },
    ]);
    await store.close();
  });
});
