import { presenceSuite } from "./suite/presence.suite.ts";

presenceSuite("in memory", async () => ({
  store: { kind: "in_memory" },
  cleanUp: async () => {},
}));
