import { describe, expect, it } from "vitest";
import type { TriggerDefinition } from "../../../src/core/trigger.ts";
import type { OpenFleet } from "./fleet.ts";
import {
  REATTACH,
  fleetsOf,
  gateBy,
  idsOf,
  reattachTimePasses,
  triggerFor,
  until,
  untilEnded,
  writeGateBy,
} from "./fleet.ts";

/** The promises of the registry of one process. */
export function describeRegistry(open: OpenFleet): void {
  const fleets = fleetsOf(open);
  /** The registry of the only process of a fleet. */
  const join = async (reattachMs?: number) => (await fleets(reattachMs).join()).registry;

  describe("triggers", () => {
    it("are none at first", async () => {
      const registry = await join();
      expect(registry.triggers()).toEqual([]);
    });

    it("are in force once bound, and watchers are notified before", async () => {
      const registry = await join();
      const definition = triggerFor("f", {
        config: {
          streamName: "orders",
          groupId: "g",
          retry: { maxAttempts: 3, initialBackoffMs: 5 },
        },
        metadata: { any: ["thing", null] },
      });
      const story: string[] = [];
      registry.watch(() => story.push(`saw ${registry.triggers().length}`));
      const bound = await registry.bind(definition);
      story.push("bound");
      expect(registry.triggers()).toEqual([bound]);
      expect(bound.definition).toEqual(definition);
      expect(story.indexOf("saw 1")).toBeLessThan(story.indexOf("bound"));
      expect(story).toContain("saw 1");
    });

    it("are the same when they are equal, whatever the order of keys in their metadata", async () => {
      const registry = await join();
      const first = await registry.bind(
        triggerFor("f", { metadata: { a: 1, b: { c: [1, { d: 2, e: 3 }], f: null } } }),
      );
      const second = await registry.bind(
        triggerFor("f", {
          config: { streamName: "orders", groupId: undefined },
          metadata: { b: { f: null, c: [1, { e: 3, d: 2 }] }, a: 1 },
        }),
      );
      expect(second.id).toBe(first.id);
      expect(registry.triggers()).toEqual([first]);
    });

    it("are the same when equal ones are bound at the same time", async () => {
      const registry = await join();
      const bound = await Promise.all([1, 2, 3].map(() => registry.bind(triggerFor("f"))));
      expect(new Set(bound.map(({ id }) => id)).size).toBe(1);
      expect(registry.triggers()).toHaveLength(1);
    });

    it("are distinct when they differ in anything", async () => {
      const registry = await join();
      const config = { streamName: "orders" };
      const definitions: TriggerDefinition[] = [
        triggerFor("f"),
        triggerFor("g"),
        triggerFor("f", { config: { streamName: "orders2" } }),
        triggerFor("f", { config: { ...config, groupId: "g" } }),
        triggerFor("f", { config: { ...config, itemId: "g" } }),
        triggerFor("f", { config: { ...config, conditionFunctionId: "g" } }),
        triggerFor("f", { config: { ...config, retry: { maxAttempts: 2, initialBackoffMs: 1 } } }),
        triggerFor("f", { config: { ...config, retry: { maxAttempts: 1, initialBackoffMs: 2 } } }),
        triggerFor("f", { metadata: null }),
        triggerFor("f", { metadata: {} }),
        triggerFor("f", { metadata: { a: [1, 2] } }),
        triggerFor("f", { metadata: { a: [2, 1] } }),
        triggerFor("f", { metadata: { a: "1" } }),
        triggerFor("f", { metadata: { a: 1 } }),
        { ...gateBy("f"), config: { gate: true } },
        { ...gateBy("f"), config: { gate: false } },
        { ...gateBy("f"), type: "stream:leave", config: {} },
        writeGateBy("f"),
      ];
      const bound = await Promise.all(definitions.map((each) => registry.bind(each)));
      expect(new Set(bound.map(({ id }) => id)).size).toBe(definitions.length);
      expect(registry.triggers()).toHaveLength(definitions.length);
    });

    it("have ids that are never reused", async () => {
      const registry = await join();
      const ids: string[] = [];
      for (let i = 0; i < 5; i++) {
        const { id } = await registry.bind(triggerFor("f"));
        ids.push(id);
        await registry.unbind(id, "withdrawn");
      }
      expect(new Set(ids).size).toBe(5);
    });

    it("end at once when they are withdrawn, and watchers are notified before", async () => {
      const registry = await join();
      const kept = await registry.bind(triggerFor("kept"));
      const { id } = await registry.bind(triggerFor("f"));
      const story: string[] = [];
      registry.watch(() => story.push(`saw ${registry.triggers().length}`));
      await registry.unbind(id, "withdrawn");
      story.push("unbound");
      expect(registry.triggers()).toEqual([kept]);
      expect(story).toContain("saw 1");
      expect(story.indexOf("saw 1")).toBeLessThan(story.indexOf("unbound"));
    });

    it("are unaffected by an unbind of an unknown id", async () => {
      const registry = await join();
      const kept = await registry.bind(triggerFor("kept"));
      const { id } = await registry.bind(triggerFor("f"));
      await registry.unbind(id, "withdrawn");
      await registry.unbind(id, "withdrawn");
      await registry.unbind(id, "lost");
      await registry.unbind("nobody's", "withdrawn");
      await registry.unbind("nobody's", "lost");
      expect(registry.triggers()).toEqual([kept]);
    });

    it("are listed as an immutable snapshot", async () => {
      const registry = await join();
      const none = registry.triggers();
      const first = await registry.bind(triggerFor("f"));
      const one = registry.triggers();
      await registry.bind(triggerFor("g"));
      const two = registry.triggers();
      await registry.unbind(first.id, "withdrawn");
      // Callers rebuild what they derive from the list when its identity changes.
      expect(new Set([none, one, two, registry.triggers()]).size).toBe(4);
      expect([none.length, one.length, two.length]).toEqual([0, 1, 2]);
    });
  });

  describe("triggers whose registrar was lost", () => {
    it("stay for the reattach time, then end, and watchers are notified", async () => {
      const registry = await join(REATTACH);
      const { id } = await registry.bind(triggerFor("f"));
      const lostAt = performance.now();
      await registry.unbind(id, "lost");
      expect(idsOf(registry)).toEqual([id]);
      // It resolves only when a watcher is notified.
      await untilEnded(registry, id);
      // Timers may fire a millisecond or two early.
      expect(performance.now() - lostAt).toBeGreaterThan(REATTACH - 3);
      expect(registry.triggers()).toEqual([]);
    });

    it("keep their id and stay in force when they are bound again in time", async () => {
      const registry = await join(REATTACH);
      const bound = await registry.bind(triggerFor("f"));
      await registry.unbind(bound.id, "lost");
      expect(await registry.bind(triggerFor("f"))).toEqual(bound);
      await reattachTimePasses(registry);
      expect(registry.triggers()).toEqual([bound]);
    });

    it("have the full reattach time again when they are lost again", async () => {
      const registry = await join(REATTACH);
      const { id } = await registry.bind(triggerFor("f"));
      await registry.unbind(id, "lost");
      await registry.bind(triggerFor("f"));
      await reattachTimePasses(registry);
      const lostAt = performance.now();
      await registry.unbind(id, "lost");
      expect(idsOf(registry)).toEqual([id]);
      await untilEnded(registry, id);
      expect(performance.now() - lostAt).toBeGreaterThan(REATTACH - 3);
    });

    it("get a new id when they are bound again too late", async () => {
      const registry = await join(REATTACH);
      const { id } = await registry.bind(triggerFor("f"));
      await registry.unbind(id, "lost");
      await untilEnded(registry, id);
      const again = await registry.bind(triggerFor("f"));
      expect(again.id).not.toBe(id);
      await reattachTimePasses(registry);
      expect(registry.triggers()).toEqual([again]);
    });

    it("end at once when they are withdrawn meanwhile", async () => {
      const registry = await join(REATTACH);
      const { id } = await registry.bind(triggerFor("f"));
      await registry.unbind(id, "lost");
      await registry.unbind(id, "withdrawn");
      expect(registry.triggers()).toEqual([]);
      const again = await registry.bind(triggerFor("f"));
      // The reattach time of the former trigger does not apply to this one.
      await reattachTimePasses(registry);
      expect(registry.triggers()).toEqual([again]);
    });

    it("stay until they are withdrawn when they are gates (G8)", async () => {
      const registry = await join(REATTACH);
      const gate = await registry.bind(gateBy("f"));
      const listener = await registry.bind({ ...gateBy("f"), config: { gate: false } });
      const writeGate = await registry.bind(writeGateBy("f"));
      const gates = [gate, listener, writeGate];
      for (const { id } of gates) await registry.unbind(id, "lost");
      await reattachTimePasses(registry);
      expect(idsOf(registry)).toEqual(gates.map(({ id }) => id).sort());
      expect((await registry.bind(gateBy("f"))).id).toBe(gate.id);
      expect((await registry.bind(writeGateBy("f"))).id).toBe(writeGate.id);
      await registry.unbind(gate.id, "lost");
      for (const { id } of gates) await registry.unbind(id, "withdrawn");
      expect(registry.triggers()).toEqual([]);
    });

    it("end when they are leave triggers", async () => {
      const registry = await join(REATTACH);
      const leave = await registry.bind({ ...gateBy("f"), type: "stream:leave", config: {} });
      await registry.unbind(leave.id, "lost");
      await untilEnded(registry, leave.id);
      expect(registry.triggers()).toEqual([]);
    });
  });

  describe("functions", () => {
    it("have a provider once they are provided, and watchers are notified before", async () => {
      const registry = await join();
      expect(registry.provides("f")).toBe(false);
      const story: string[] = [];
      registry.watch(() => story.push(`saw ${registry.provides("f")}`));
      await registry.provide("f");
      story.push("provided");
      expect(registry.provides("f")).toBe(true);
      expect(registry.provides("g")).toBe(false);
      expect([...registry.functions()]).toEqual(["f"]);
      expect(story).toContain("saw true");
      expect(story.indexOf("saw true")).toBeLessThan(story.indexOf("provided"));
    });

    it.each(["withdrawn", "lost"] as const)(
      "have no provider once it is %s, and watchers are notified",
      async (how) => {
        const registry = await join();
        await registry.provide("f");
        await registry.provide("g");
        const ended = until(registry, () => !registry.provides("f"));
        await registry.withdraw("f", how);
        await ended;
        expect([registry.provides("f"), registry.provides("g")]).toEqual([false, true]);
        await registry.withdraw("f", how);
        await registry.withdraw("never provided", how);
        await registry.provide("f");
        expect(registry.provides("f")).toBe(true);
      },
    );
  });

  describe("functions of custom streams", () => {
    const get = "stream::get(orders)";
    const set = "stream::set(a)(b)";

    it("are known as such as long as they are provided", async () => {
      const registry = await join();
      await registry.provide("f");
      expect(Array.from(registry.overrides())).toEqual([]);
      await registry.provide(get);
      await registry.provide(set);
      await registry.provide("stream::other(orders)");
      expect(Array.from(registry.overrides()).sort()).toEqual([get, set]);
      expect(registry.provides(get)).toBe(true);
      await registry.withdraw(get, "withdrawn");
      expect(Array.from(registry.overrides())).toEqual([set]);
      expect(registry.provides(get)).toBe(false);
    });

    it("stay known when their provider was lost, until they are withdrawn", async () => {
      const registry = await join(REATTACH);
      await registry.provide(get);
      await registry.withdraw(get, "lost");
      await reattachTimePasses(registry);
      expect(Array.from(registry.overrides())).toEqual([get]);
      expect(registry.provides(get)).toBe(false);
      await registry.provide(get);
      expect(registry.provides(get)).toBe(true);
      await registry.withdraw(get, "lost");
      const ended = until(registry, () => !registry.overrides().has(get));
      await registry.withdraw(get, "withdrawn");
      await ended;
      expect(Array.from(registry.overrides())).toEqual([]);
    });
  });

  describe("watching the registry", () => {
    it("notifies every listener until it stops", async () => {
      const registry = await join();
      const called: string[] = [];
      const stopFirst = registry.watch(() => called.push("first"));
      const stopSecond = registry.watch(() => called.push("second"));
      await registry.provide("f");
      expect(new Set(called)).toEqual(new Set(["first", "second"]));
      stopFirst();
      stopFirst();
      called.length = 0;
      await registry.bind(triggerFor("f"));
      expect(new Set(called)).toEqual(new Set(["second"]));
      stopSecond();
      called.length = 0;
      await registry.withdraw("f", "withdrawn");
      expect(called).toEqual([]);
    });

    it("does not notify a listener that another one has stopped", async () => {
      const registry = await join();
      const called: string[] = [];
      const stops: (() => void)[] = [];
      const stopAll = () => stops.forEach((stop) => stop());
      for (const name of ["first", "second"]) {
        const stop = registry.watch(() => {
          called.push(name);
          stopAll();
        });
        stops.push(stop);
      }
      await registry.provide("f");
      expect(called).toHaveLength(1);
    });

    it("reports that it is current", async () => {
      const registry = await join();
      expect(registry.isCurrent()).toBe(true);
    });
  });
}
