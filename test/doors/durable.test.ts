import { describe } from "vitest";
import { doorNamed } from "../support/doors/doors.ts";
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
import { slowSubscriberSuite } from "./suite/slow-subscriber.suite.ts";
import { streamsSuite } from "./suite/streams.suite.ts";
import { updateSuite } from "./suite/update.suite.ts";
import { windowsSuite } from "./suite/windows.suite.ts";
import { writeStreamSuite } from "./suite/write-stream.suite.ts";
import { writesSuite } from "./suite/writes.suite.ts";

describe("a service on disk, over gRPC", () => {
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
    followSuite,
    resumeSuite,
    eventsSuite,
    deltasSuite,
    windowsSuite,
    livenessSuite,
    shutdownSuite,
    slowSubscriberSuite,
  ]) {
    suite(door, "file");
  }
});
