import { describe, expect, it } from "vitest";
import type { Registry } from "../../../src/core/coordinator.ts";
import type { TriggerConfig, TriggerDefinition } from "../../../src/core/trigger.ts";
import type { OpenFleet } from "./fleet.ts";
import { REATTACH, fleetsOf, idsOf, reattachTimePasses, triggerFor, until } from "./fleet.ts";

/** A durable trigger for a function. */
function durableFor(functionId: string, config: Partial<TriggerConfig> = {}): TriggerDefinition {
  return triggerFor(functionId, { config: { streamName: "orders", durable: "audit", ...config } });
}

/** A definition without what JSON does not have. */
const plain = ({ type, functionId, config }: TriggerDefinition) => ({ type, functionId, config });

const onlyOne = (registry: Registry) => registry.triggers()[0];

/** Durable triggers in the registry. */
export function describeDurableTriggers(open: OpenFleet): void {
  const fleets = fleetsOf(open);
  const { survives, processes } = open({ reattachMs: 0 });

  describe("durable triggers", () => {
    it("are identified by their name: binding one again replaces its definition, not its id", async () => {
      const { registry } = await fleets().join();
      const { id } = await registry.bind(durableFor("f"));
      const next = durableFor("g", { groupId: "room" });
      expect(await registry.bind(next)).toMatchObject({ id, definition: plain(next) });
      expect(registry.triggers()).toMatchObject([{ id, definition: plain(next) }]);
      const other = await registry.bind(durableFor("f", { durable: "other" }));
      expect(idsOf(registry)).toEqual([id, other.id].sort());
    });

    it("outlive the loss of their registrant, until they are withdrawn", async () => {
      const { registry } = await fleets(REATTACH).join();
      const { id } = await registry.bind(durableFor("f"));
      await registry.unbind(id, "lost");
      await reattachTimePasses(registry);
      expect(idsOf(registry)).toEqual([id]);
      await registry.unbind(id, "withdrawn");
      expect(idsOf(registry)).toEqual([]);
    });

    it("know since when their function has had no provider", async () => {
      const { registry } = await fleets().join();
      const before = Date.now() - 1000;
      await registry.bind(durableFor("f"));
      const { awaySinceMs = 0 } = onlyOne(registry) ?? {};
      expect(awaySinceMs).toBeGreaterThan(before);
      await registry.provide("g");
      expect(onlyOne(registry)?.awaySinceMs).toBe(awaySinceMs);
      await registry.provide("f");
      expect(onlyOne(registry)?.awaySinceMs).toBeUndefined();
      await registry.withdraw("f", "lost");
      await until(registry, () => onlyOne(registry)?.awaySinceMs !== undefined);
      await registry.bind(durableFor("g"));
      expect(onlyOne(registry)?.awaySinceMs).toBeUndefined();
    });

    if (survives) {
      it("survive a restart with their last definition", async () => {
        const fleet = fleets(REATTACH);
        const first = await fleet.join();
        const { id } = await first.registry.bind(durableFor("f"));
        await first.registry.bind(durableFor("g"));
        await first.close();
        const { registry } = await fleet.join();
        await reattachTimePasses(registry);
        expect(registry.triggers()).toMatchObject([{ id, definition: plain(durableFor("g")) }]);
        expect(onlyOne(registry)?.awaySinceMs).toBeGreaterThan(0);
      });
    }

    if (processes === 2) {
      it("have the definition of the last process that bound them, and outlive both", async () => {
        const fleet = fleets(REATTACH);
        const [a, b] = [await fleet.join(), await fleet.join()];
        const { id } = await a.registry.bind(durableFor("f"));
        await b.registry.bind(durableFor("g"));
        for (const { registry } of [a, b])
          expect(registry.triggers()).toMatchObject([{ id, definition: plain(durableFor("g")) }]);
        // The first process changes something else: its own definition is not in force again.
        await a.registry.provide("h");
        expect(onlyOne(b.registry)?.definition).toMatchObject(plain(durableFor("g")));
        await b.close();
        await reattachTimePasses(a.registry);
        expect(idsOf(a.registry)).toEqual([id]);
      });

      it("end when every process that bound them has withdrawn them", async () => {
        const fleet = fleets();
        const [a, b] = [await fleet.join(), await fleet.join()];
        const { id } = await a.registry.bind(durableFor("f"));
        await b.registry.bind(durableFor("f"));
        await a.registry.unbind(id, "withdrawn");
        expect(idsOf(b.registry)).toEqual([id]);
        await b.registry.unbind(id, "withdrawn");
        expect([idsOf(a.registry), idsOf(b.registry)]).toEqual([[], []]);
      });
    }
  });
}
