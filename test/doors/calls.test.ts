import { describe } from "vitest";
import { CALL_DOORS } from "../support/doors/doors.ts";
import { batchSuite } from "./suite/batch.suite.ts";
import { historySuite } from "./suite/history.suite.ts";
import { idempotencySuite } from "./suite/idempotency.suite.ts";
import { lifetimesSuite } from "./suite/lifetimes.suite.ts";
import { listingSuite } from "./suite/listing.suite.ts";
import { streamsSuite } from "./suite/streams.suite.ts";
import { updateSuite } from "./suite/update.suite.ts";
import { writesSuite } from "./suite/writes.suite.ts";

describe.each(CALL_DOORS)("calls over $name", (door) => {
  writesSuite(door, "memory");
  updateSuite(door, "memory");
  batchSuite(door, "memory");
  listingSuite(door, "memory");
  historySuite(door, "memory");
  streamsSuite(door, "memory");
  lifetimesSuite(door, "memory");
  idempotencySuite(door, "memory");
});
