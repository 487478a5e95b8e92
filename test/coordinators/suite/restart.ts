import { describe, expect, it } from "vitest";
import type { OpenFleet } from "./fleet.ts";
import {
  REATTACH,
  fleetsOf,
  gateBy,
  collectOrphans,
  idsOf,
  reattachTimePasses,
  triggerFor,
  untilEnded,
  writeGateBy,
} from "./fleet.ts";

/** The state of a fleet that survives its last process. */
export function describeRestart(open: OpenFleet): void {
  const fleets = fleetsOf(open);

  describe("after a restart of all processes", () => {
    it("triggers keep their ids and definitions, and can be bound again", async () => {
      const fleet = fleets();
      const first = await fleet.join();
      const definitions = [
        triggerFor("f", {
          config: { streamName: "é", itemId: "i", retry: { maxAttempts: 3, initialBackoffMs: 0 } },
          metadata: { b: [null, { y: "\u{1f600}", x: 1 }], a: 1 },
        }),
        triggerFor("f"),
        triggerFor("f", { metadata: null }),
        { ...gateBy("f"), type: "stream:leave" as const, config: {} },
      ];
      const bound = await Promise.all(definitions.map((each) => first.registry.bind(each)));
      const ended = await first.registry.bind(triggerFor("ended"));
      await first.registry.unbind(ended.id, "withdrawn");
      await first.close();
      const { registry } = await fleet.join();
      expect(idsOf(registry)).toEqual(bound.map(({ id }) => id).sort());
      for (const trigger of bound) {
        // As JSON: a member that is undefined may be missing.
        const again = registry.triggers().find(({ id }) => id === trigger.id);
        expect(JSON.stringify(again)).toBe(JSON.stringify(trigger));
        expect((await registry.bind(trigger.definition)).id).toBe(trigger.id);
      }
      expect(registry.triggers()).toHaveLength(bound.length);
    });

    it("triggers end unless they are bound again within the full reattach time", async () => {
      const fleet = fleets(REATTACH);
      const first = await fleet.join();
      const taken = await first.registry.bind(triggerFor("taken"));
      const left = await first.registry.bind(triggerFor("left"));
      await first.registry.unbind(left.id, "lost");
      await first.close();
      const second = await fleet.join();
      const joinedAt = performance.now();
      expect(idsOf(second.registry)).toEqual([taken.id, left.id].sort());
      await second.registry.bind(triggerFor("taken"));
      await untilEnded(second.registry, left.id);
      // Joining may have taken some of that time.
      expect(performance.now() - joinedAt).toBeGreaterThan(REATTACH / 2);
      await reattachTimePasses(second.registry);
      expect(idsOf(second.registry)).toEqual([taken.id]);
      await second.close();
      const { registry } = await fleet.join();
      expect(idsOf(registry)).toEqual([taken.id]);
    });

    it("gates and custom streams stay until they are withdrawn (G8)", async () => {
      const fleet = fleets(REATTACH);
      const first = await fleet.join();
      const gate = await first.registry.bind(gateBy("gatekeeper"));
      const writeGate = await first.registry.bind(writeGateBy("gatekeeper"));
      const opened = await first.registry.bind(gateBy("opened"));
      await first.registry.unbind(opened.id, "withdrawn");
      await first.registry.provide("gatekeeper");
      await first.registry.provide("stream::get(orders)");
      await first.registry.provide("stream::set(lost)");
      await first.registry.withdraw("stream::set(lost)", "lost");
      await first.registry.provide("stream::get(withdrawn)");
      await first.registry.withdraw("stream::get(withdrawn)", "withdrawn");
      await first.close();
      const second = await fleet.join();
      await reattachTimePasses(second.registry);
      await second.close();
      const { registry } = await fleet.join();
      expect(idsOf(registry)).toEqual([gate.id, writeGate.id].sort());
      const known = ["stream::get(orders)", "stream::set(lost)"];
      expect(Array.from(registry.overrides()).sort()).toEqual(known);
      // Their providers are gone.
      for (const id of ["gatekeeper", ...known]) expect(registry.provides(id)).toBe(false);
      expect((await registry.bind(gateBy("gatekeeper"))).id).toBe(gate.id);
      expect((await registry.bind(writeGateBy("gatekeeper"))).id).toBe(writeGate.id);
      await registry.withdraw("stream::set(lost)", "withdrawn");
      expect(Array.from(registry.overrides())).toEqual(["stream::get(orders)"]);
    });

    it("ended triggers stay ended, and their ids are not reused", async () => {
      const fleet = fleets();
      const seen: string[] = [];
      for (let round = 0; round < 3; round++) {
        const coordinator = await fleet.join();
        expect(coordinator.registry.triggers()).toEqual([]);
        for (const functionId of ["f", "g"]) {
          const { id } = await coordinator.registry.bind(triggerFor(functionId));
          seen.push(id);
          await coordinator.registry.unbind(id, "withdrawn");
        }
        await coordinator.close();
      }
      expect(new Set(seen).size).toBe(6);
    });

    it("leases that were not released are orphans", async () => {
      const fleet = fleets();
      const first = await fleet.join();
      const payload = '{"subscription_id":"é\u{1f600}","context":null}';
      await first.leases.hold({ id: "a", payload });
      await first.leases.hold({ id: "b", payload: "2" });
      await first.leases.hold({ id: "c", payload: "3" });
      await first.leases.release("b");
      await first.close();
      const second = await fleet.join();
      const orphans = collectOrphans(second.leases);
      await second.leases.hold({ id: "new", payload: "4" });
      await orphans.until(2);
      expect(orphans.ids()).toEqual(["a", "c"]);
      expect(orphans.payloadOf("a")).toBe(payload);
      expect(orphans.payloadOf("c")).toBe("3");
      orphans.stop();
    });

    it("orphans are delivered to each listener until they are released", async () => {
      const fleet = fleets();
      const first = await fleet.join();
      for (const id of ["a", "b", "c"]) await first.leases.hold({ id, payload: `"${id}"` });
      await first.close();
      const second = await fleet.join();
      const found = collectOrphans(second.leases);
      await found.until(3);
      found.stop();
      await second.leases.release("b");
      const again = collectOrphans(second.leases);
      await again.until(2);
      expect(again.ids()).toEqual(["a", "c"]);
      again.stop();
      await second.close();
      const third = await fleet.join();
      const later = collectOrphans(third.leases);
      await later.until(2);
      expect(later.ids()).toEqual(["a", "c"]);
      await Promise.all([third.leases.release("a"), third.leases.release("c")]);
      later.stop();
      await third.close();
      const last = await fleet.join();
      const none = collectOrphans(last.leases);
      await last.leases.hold({ id: "d", payload: "1" });
      expect(none.ids()).toEqual([]);
      none.stop();
    });
  });
}

/** The restart of a fleet whose state does not survive. */
export function describeForgetting(open: OpenFleet): void {
  const fleets = fleetsOf(open);

  describe("after a restart of all processes", () => {
    it("the fleet is empty, and there are no orphans", async () => {
      const fleet = fleets();
      const first = await fleet.join();
      await first.registry.bind(triggerFor("f"));
      await first.registry.bind(gateBy("f"));
      await first.registry.provide("stream::get(orders)");
      await first.leases.hold({ id: "a", payload: "{}" });
      await first.close();
      const { registry, leases } = await fleet.join();
      const orphans = collectOrphans(leases);
      expect(registry.triggers()).toEqual([]);
      expect(Array.from(registry.overrides())).toEqual([]);
      expect(orphans.ids()).toEqual([]);
      orphans.stop();
    });
  });
}
