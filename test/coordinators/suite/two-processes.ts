import { describe, expect, it } from "vitest";
import type { CallOptions } from "../../../src/core/function-call.ts";
import { FunctionError } from "../../../src/core/function-call.ts";
import type { OpenFleet } from "./fleet.ts";
import {
  REATTACH,
  contend,
  fleetsOf,
  gateBy,
  hearOrphans,
  idsOf,
  reattachTimePasses,
  triggerFor,
  until,
  untilEnded,
} from "./fleet.ts";

/** What two processes of a fleet have in common. */
export function describeTwoProcesses(open: OpenFleet): void {
  const fleets = fleetsOf(open);
  const joinTwo = async (reattachMs?: number) => {
    const fleet = fleets(reattachMs);
    return [await fleet.join(), await fleet.join()] as const;
  };

  describe("triggers of two processes", () => {
    it("hold at both once bound at one, and whoever watches was told before", async () => {
      const [a, b] = await joinTwo();
      const story: string[] = [];
      b.registry.watch(() => story.push(`told of ${b.registry.triggers().length}`));
      const bound = await a.registry.bind(triggerFor("f", { metadata: { x: [null] } }));
      story.push("bound");
      expect(idsOf(b.registry)).toEqual([bound.id]);
      const there = b.registry.triggers()[0];
      expect(JSON.stringify(there)).toBe(JSON.stringify(bound));
      expect(story.indexOf("told of 1")).toBeLessThan(story.indexOf("bound"));
      expect(story).toContain("told of 1");
      await a.registry.unbind(bound.id, "withdrawn");
      await untilEnded(b.registry, bound.id);
    });

    it("that are equal are one, and end when the last process has withdrawn it", async () => {
      const [a, b] = await joinTwo();
      const [first, second] = await Promise.all([
        a.registry.bind(triggerFor("f", { metadata: { x: 1, y: 2 } })),
        b.registry.bind(triggerFor("f", { metadata: { y: 2, x: 1 } })),
      ]);
      expect(second.id).toBe(first.id);
      await a.registry.unbind(first.id, "withdrawn");
      expect([idsOf(a.registry), idsOf(b.registry)]).toEqual([[first.id], [first.id]]);
      await b.registry.unbind(first.id, "withdrawn");
      await Promise.all([untilEnded(a.registry, first.id), untilEnded(b.registry, first.id)]);
    });

    it("stay while one process holds what the other lost", async () => {
      const [a, b] = await joinTwo(REATTACH);
      const { id } = await a.registry.bind(triggerFor("f"));
      await b.registry.bind(triggerFor("f"));
      await a.registry.unbind(id, "lost");
      await reattachTimePasses(a.registry);
      expect([idsOf(a.registry), idsOf(b.registry)]).toEqual([[id], [id]]);
      await b.registry.unbind(id, "lost");
      await Promise.all([untilEnded(a.registry, id), untilEnded(b.registry, id)]);
    });

    it("are taken up by the other process with the same id", async () => {
      const [a, b] = await joinTwo(REATTACH);
      const { id } = await a.registry.bind(triggerFor("f"));
      await a.registry.unbind(id, "lost");
      expect((await b.registry.bind(triggerFor("f"))).id).toBe(id);
      await reattachTimePasses(b.registry);
      expect(idsOf(b.registry)).toEqual([id]);
    });

    it("of a process that has closed are lost: they end unless somebody takes them up, gates stay (G8)", async () => {
      const [a, b] = await joinTwo(REATTACH);
      const gate = await a.registry.bind(gateBy("f"));
      const left = await a.registry.bind(triggerFor("left"));
      const shared = await a.registry.bind(triggerFor("shared"));
      await b.registry.bind(triggerFor("shared"));
      await a.close();
      await untilEnded(b.registry, left.id);
      await reattachTimePasses(b.registry);
      expect(idsOf(b.registry)).toEqual([gate.id, shared.id].sort());
    });

    it("are known to a process that joins later", async () => {
      const fleet = fleets();
      const a = await fleet.join();
      const { id } = await a.registry.bind(triggerFor("f"));
      await a.registry.provide("stream::get(orders)");
      const b = await fleet.join();
      expect(idsOf(b.registry)).toEqual([id]);
      expect(b.registry.provides("stream::get(orders)")).toBe(true);
      expect(Array.from(b.registry.overrides())).toEqual(["stream::get(orders)"]);
      expect(b.registry.isCurrent()).toBe(true);
    });
  });

  describe("functions of two processes", () => {
    const get = "stream::get(orders)";

    it("have a provider everywhere once one process provides them", async () => {
      const [a, b] = await joinTwo();
      await a.registry.provide("f");
      await a.registry.provide(get);
      expect([b.registry.provides("f"), b.registry.provides(get)]).toEqual([true, true]);
      expect([...b.registry.functions()].sort()).toEqual(["f", get].sort());
      expect(b.registry.overrides().has(get)).toBe(true);
    });

    it("have one until the last process has withdrawn it", async () => {
      const [a, b] = await joinTwo();
      await Promise.all([a, b].map(({ registry }) => registry.provide(get)));
      await a.registry.withdraw(get, "withdrawn");
      expect([a, b].map(({ registry }) => registry.provides(get))).toEqual([true, true]);
      expect([a, b].map(({ registry }) => registry.overrides().has(get))).toEqual([true, true]);
      await b.registry.withdraw(get, "withdrawn");
      const gone = ({ registry }: typeof a) =>
        !registry.provides(get) && registry.overrides().size === 0;
      await Promise.all([a, b].map((each) => until(each.registry, () => gone(each))));
    });

    it("of a process that has closed have none, and those of custom streams stay known", async () => {
      const [a, b] = await joinTwo();
      await a.registry.provide("f");
      await a.registry.provide(get);
      await a.close();
      await until(b.registry, () => !b.registry.provides("f") && !b.registry.provides(get));
      expect(b.registry.overrides().has(get)).toBe(true);
    });
  });

  describe("ownership of two processes", () => {
    const PARTITIONS = 8;

    it("gives each partition to one of them, and all to the one that is left", async () => {
      const [a, b] = await joinTwo();
      const ofA = contend(a.ownership, PARTITIONS);
      await ofA.until((owned) => owned.size === PARTITIONS);
      const ofB = contend(b.ownership, PARTITIONS);
      // Both have some, at some time; never do both have the same.
      await ofB.until((owned) => owned.size > 0);
      for (const partition of ofB.owned.keys()) expect(ofA.owned.has(partition)).toBe(false);
      const fencesOfA = new Map(ofA.owned);
      await a.close();
      await ofB.until((owned) => owned.size === PARTITIONS);
      for (const [partition, fence] of fencesOfA) expect(ofB.owned.get(partition)).not.toBe(fence);
      ofB.stop();
    });

    it("gives what one gives up to the other", async () => {
      const [a, b] = await joinTwo();
      const ofA = contend(a.ownership, PARTITIONS);
      const ofB = contend(b.ownership, PARTITIONS);
      await Promise.race([ofA, ofB].map((each) => each.until((owned) => owned.size > 0)));
      ofA.stop();
      await ofB.until((owned) => owned.size === PARTITIONS);
      ofB.stop();
    });
  });

  describe("leases of two processes", () => {
    it("become orphans when their process has closed, and are heard by the other", async () => {
      const [a, b] = await joinTwo();
      const orphans = hearOrphans(b.leases);
      await a.leases.hold({ id: "held", payload: '{"é":1}' });
      await a.leases.hold({ id: "released", payload: "{}" });
      await b.leases.hold({ id: "own", payload: "{}" });
      await a.leases.release("released");
      expect(orphans.ids()).toEqual([]);
      await a.close();
      await orphans.until(1);
      expect(orphans.ids()).toEqual(["held"]);
      expect(orphans.payloadOf("held")).toBe('{"é":1}');
      await b.leases.release("held");
      orphans.stop();
    });
  });

  describe("routing between two processes", () => {
    it("has the other one answer, with all that belongs to the call", async () => {
      const [a, b] = await joinTwo();
      const calls: [string, string, CallOptions][] = [];
      a.routing.serve(async (...call) => {
        calls.push(call);
        return '{"answer":"é"}';
      });
      b.routing.serve(async () => '"not me"');
      await a.registry.provide("f");
      const options = { timeoutMs: 5000, metadata: '{"m":1}', depth: 3 };
      expect(await b.routing.call("f", '{"p":"\u{1f600}"}', options)).toBe('{"answer":"é"}');
      expect(calls).toMatchObject([["f", '{"p":"\u{1f600}"}', { metadata: '{"m":1}', depth: 3 }]]);
    });

    it("hands on that a function returned nothing, and why it failed", async () => {
      const [a, b] = await joinTwo();
      a.routing.serve(async (functionId) => {
        if (functionId === "silent") return undefined;
        throw new FunctionError("my_code", "My reason.");
      });
      await a.registry.provide("silent");
      await a.registry.provide("failing");
      expect(await b.routing.call("silent", "{}", { timeoutMs: 5000 })).toBeUndefined();
      const failed = b.routing.call("failing", "{}", { timeoutMs: 5000 });
      await expect(failed).rejects.toBeInstanceOf(FunctionError);
      await expect(failed).rejects.toMatchObject({ code: "my_code", message: "My reason." });
    });

    it("finds nobody when only the caller provides the function", async () => {
      const [a, b] = await joinTwo();
      for (const { routing } of [a, b]) routing.serve(async () => '"answered"');
      await a.registry.provide("f");
      const call = a.routing.call("f", "{}", { timeoutMs: 5000 });
      await expect(call).rejects.toMatchObject({ code: "function_not_found" });
    });
  });
}
