import { memoryStore } from "../../../src/stores/memory/memory-store.ts";
import { describeStore } from "../suite/store.suite.ts";

describeStore("memory", async (request) => {
  const store = memoryStore({ ...request, sweepIntervalMs: 0 });
  return { store, sweep: async () => store.sweep(), dispose: () => store.close() };
});
