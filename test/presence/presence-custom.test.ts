import { memoryStore } from "millrace";
import { presenceSuite } from "./suite/presence.suite.ts";

// A store of the embedding program, around one of the service.
presenceSuite("beside a custom store", async () => ({
  store: { ...memoryStore() },
  cleanUp: async () => {},
}));
