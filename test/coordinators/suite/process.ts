import { describe, expect, it } from "vitest";
import { FunctionError } from "../../../src/core/function-call.ts";
import type { OpenFleet } from "./fleet.ts";
import { contend, fleetsOf, collectOrphans, triggerFor } from "./fleet.ts";

const byNumber = (a: number, b: number) => a - b;

/** Ownership, leases and routing of a sole process. */
export function describeProcess(open: OpenFleet): void {
  const fleets = fleetsOf(open);

  describe("ownership", () => {
    it("gives a sole process each partition once, with a fence", async () => {
      const { ownership } = await fleets().join();
      const contender = contend(ownership, 4);
      await contender.until((owned) => owned.size === 4);
      expect(contender.gained.toSorted(byNumber)).toEqual([0, 1, 2, 3]);
      for (const fence of contender.owned.values()) expect(typeof fence).toBe("string");
      contender.stop();
      contender.stop();
    });

    it("gives the partitions to a process that contends again", async () => {
      const { ownership } = await fleets().join();
      const first = contend(ownership, 2);
      await first.until((owned) => owned.size === 2);
      first.stop();
      const second = contend(ownership, 2);
      await second.until((owned) => owned.size === 2);
      expect(second.gained.toSorted(byNumber)).toEqual([0, 1]);
      second.stop();
    });
  });

  describe("leases", () => {
    it("are no orphans while their process is alive", async () => {
      const { leases } = await fleets().join();
      const early = collectOrphans(leases);
      await leases.hold({ id: "a", payload: "{}" });
      await leases.hold({ id: "b", payload: "{}" });
      await leases.release("a");
      await leases.release("a");
      await leases.release("never held");
      const late = collectOrphans(leases);
      expect([early.ids(), late.ids()]).toEqual([[], []]);
      early.stop();
      late.stop();
      late.stop();
    });
  });

  describe("routing", () => {
    it("finds no provider when there is no other process, even if this one provides it", async () => {
      const { registry, routing } = await fleets().join();
      routing.serve(async () => '"answered"');
      await registry.provide("here");
      for (const functionId of ["here", "nowhere"]) {
        const call = routing.call(functionId, "{}", {});
        await expect(call).rejects.toBeInstanceOf(FunctionError);
        await expect(call).rejects.toMatchObject({ code: "function_not_found" });
      }
    });
  });

  describe("closing", () => {
    it("is idempotent", async () => {
      const coordinator = await fleets().join();
      await coordinator.registry.bind(triggerFor("f"));
      await coordinator.registry.provide("f");
      await coordinator.leases.hold({ id: "a", payload: "{}" });
      const contender = contend(coordinator.ownership, 1);
      await contender.until((owned) => owned.size === 1);
      await Promise.all([coordinator.close(), coordinator.close()]);
      await coordinator.close();
      contender.stop();
    });
  });
}
