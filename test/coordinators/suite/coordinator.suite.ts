import { describe } from "vitest";
import { describeDurableTriggers } from "./durable.ts";
import type { OpenFleet } from "./fleet.ts";
import { describeOrdersOfTwo } from "./orders-of-two.ts";
import { describeOrders } from "./orders.ts";
import { describeProcess } from "./process.ts";
import { describeRegistry } from "./registry.ts";
import { describeForgetting, describeRestart } from "./restart.ts";
import { describeSessions, describeSessionsOfTwo } from "./sessions.ts";
import { describeTwoProcesses } from "./two-processes.ts";

/**
 * Proves that a coordinator keeps the promises of the Coordinator port. Every adapter passes it,
 * third-party ones included.
 *
 * Tests of what a kind of fleet cannot do by design are not registered, rather than skipped.
 *
 * @param open Creates a new fleet.
 */
export function describeCoordinator(name: string, open: OpenFleet): void {
  const { survives, processes } = open({ reattachMs: 0 });
  describe(`${name} coordinator`, () => {
    describeRegistry(open);
    describeDurableTriggers(open);
    describeProcess(open);
    describeOrders(open);
    describeSessions(open);
    if (survives) describeRestart(open);
    else describeForgetting(open);
    // A local coordinator has one process only.
    if (processes === 2) {
      describeTwoProcesses(open);
      describeOrdersOfTwo(open);
      describeSessionsOfTwo(open);
    }
  });
}
