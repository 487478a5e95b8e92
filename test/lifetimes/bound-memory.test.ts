import { boundSuite } from "./suite/bound.suite.ts";

boundSuite("in memory", false, async () => ({
  store: { kind: "in_memory" },
  cleanUp: async () => {},
}));
