import { boundSuite } from "./suite/bound.suite.ts";

boundSuite("in memory", async () => ({
  store: { kind: "in_memory" },
  lasts: false,
  cleanUp: async () => {},
}));
