import { describe } from "vitest";
import { SUBSCRIPTION_DOORS } from "../support/doors/doors.ts";
import { livenessSuite } from "./suite/liveness.suite.ts";
import { shutdownSuite } from "./suite/shutdown.suite.ts";
import { slowSubscriberSuite } from "./suite/slow-subscriber.suite.ts";

describe.each(SUBSCRIPTION_DOORS)("over $name", (door) => {
  livenessSuite(door, "memory");
  shutdownSuite(door, "memory");
  slowSubscriberSuite(door, "memory");
});
