import { describe } from "vitest";
import { doorNamed } from "../support/doors/doors.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { batchSuite } from "./suite/batch.suite.ts";
import { deltasSuite } from "./suite/deltas.suite.ts";
import { eventsSuite } from "./suite/events.suite.ts";
import { followSuite } from "./suite/follow.suite.ts";
import { historySuite } from "./suite/history.suite.ts";
import { idempotencySuite } from "./suite/idempotency.suite.ts";
import { lifetimesSuite } from "./suite/lifetimes.suite.ts";
import { listingSuite } from "./suite/listing.suite.ts";
import { livenessSuite } from "./suite/liveness.suite.ts";
import { resumeSuite } from "./suite/resume.suite.ts";
import { shutdownSuite } from "./suite/shutdown.suite.ts";
import { streamsSuite } from "./suite/streams.suite.ts";
import { updateSuite } from "./suite/update.suite.ts";
import { windowsSuite } from "./suite/windows.suite.ts";
import { writeStreamSuite } from "./suite/write-stream.suite.ts";
import { writesSuite } from "./suite/writes.suite.ts";

// Without the suite about slow subscribers: they do not depend on the store, and the suite advances
// its clock beyond the reply timeouts of a remote server.
describeWithRedis("a service on Redis,", () => {
  describe.each(["grpc", "websocket"])("over %s", (name) => {
    const door = doorNamed(name);
    for (const suite of [followSuite, resumeSuite, eventsSuite, deltasSuite, windowsSuite]) {
      suite(door, "redis");
    }
  });
  describe("over grpc", () => {
    const door = doorNamed("grpc");
    for (const suite of [
      writesSuite,
      updateSuite,
      batchSuite,
      listingSuite,
      historySuite,
      streamsSuite,
      lifetimesSuite,
      idempotencySuite,
      writeStreamSuite,
      livenessSuite,
      shutdownSuite,
    ]) {
      suite(door, "redis");
    }
  });
});
