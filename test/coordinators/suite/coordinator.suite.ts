import { describe } from "vitest";
import type { OpenFleet } from "./fleet.ts";
import { describeProcess } from "./process.ts";
import { describeRegistry } from "./registry.ts";
import { describeForgetting, describeRestart } from "./restart.ts";
import { describeTwoProcesses } from "./two-processes.ts";

/**
 * Proves that a coordinator keeps the promises of the Coordinator port. Every adapter passes it, also
 * those of others.
 *
 * What a kind of fleet cannot do is not tested with it: tests are not registered, rather than skipped,
 * because there is nothing that would have to be done about them.
 *
 * @param open Makes a fleet of which nobody has heard before.
 */
export function describeCoordinator(name: string, open: OpenFleet): void {
  const { survives, processes } = open({ reattachMs: 0 });
  describe(`${name} coordinator`, () => {
    describeRegistry(open);
    describeProcess(open);
    if (survives) describeRestart(open);
    else describeForgetting(open);
    // A service of one process has nobody to agree with.
    if (processes === 2) describeTwoProcesses(open);
  });
}
