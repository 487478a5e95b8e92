import { describe } from "vitest";
import { SUBSCRIPTION_DOORS } from "../support/doors/doors.ts";
import { compressingSocketDoor } from "../support/doors/websocket-door.ts";
import { deltasSuite } from "./suite/deltas.suite.ts";
import { eventsSuite } from "./suite/events.suite.ts";
import { followSuite } from "./suite/follow.suite.ts";
import { resumeSuite } from "./suite/resume.suite.ts";
import { windowsSuite } from "./suite/windows.suite.ts";

describe.each(SUBSCRIPTION_DOORS)("over $name", (door) => {
  followSuite(door, "memory");
  resumeSuite(door, "memory");
  eventsSuite(door, "memory");
});

describe.each([...SUBSCRIPTION_DOORS, compressingSocketDoor])("over $name", (door) => {
  deltasSuite(door, "memory");
  windowsSuite(door, "memory");
});
