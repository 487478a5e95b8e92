import { describe, expect, it } from "vitest";
import type { CallOptions } from "../../../src/core/function-call.ts";
import { FunctionError } from "../../../src/core/function-call.ts";
import type { OpenFleet } from "./fleet.ts";
import {
  REATTACH,
  contend,
  fleetsOf,
  gateBy,
  collectOrphans,
  idsOf,
  reattachTimePasses,
  triggerFor,
  until,
  untilEnded,
  writeGateBy,
} from "./fleet.ts";

/** The promises of a coordinator to two processes of a fleet. */
export function describeTwoProcesses(open: OpenFleet): void {
  const fleets = fleetsOf(open);
  const joinTwo = async (reattachMs?: number) => {
    const fleet = fleets(reattachMs);
    return [await fleet.join(), await fleet.join()] as const;
  };

  describe("triggers of two processes", () => {
    it("are in force at both once bound at one, and watchers are notified before", async () => {
      const [a, b] = await joinTwo();
      const story: string[] = [];
      b.registry.watch(() => story.push(`saw ${b.registry.triggers().length}`));
      const bound = await a.registry.bind(triggerFor("f", { metadata: { x: [null] } }));
      story.push("bound");
      expect(idsOf(b.registry)).toEqual([bound.id]);
      const there = b.registry.triggers()[0];
      expect(JSON.stringify(there)).toBe(JSON.stringify(bound));
      expect(story.indexOf("saw 1")).toBeLessThan(story.indexOf("bound"));
      expect(story).toContain("saw 1");
      await a.registry.unbind(bound.id, "withdrawn");
      await untilEnded(b.registry, bound.id);
    });

    it("are the same when they are equal, and end when the last process has withdrawn them", async () => {
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

    it("stay while one process holds them and the other has lost them", async () => {
      const [a, b] = await joinTwo(REATTACH);
      const { id } = await a.registry.bind(triggerFor("f"));
      await b.registry.bind(triggerFor("f"));
      await a.registry.unbind(id, "lost");
      await reattachTimePasses(a.registry);
      expect([idsOf(a.registry), idsOf(b.registry)]).toEqual([[id], [id]]);
      await b.registry.unbind(id, "lost");
      await Promise.all([untilEnded(a.registry, id), untilEnded(b.registry, id)]);
    });

    it("keep their id when the other process binds them again", async () => {
      const [a, b] = await joinTwo(REATTACH);
      const { id } = await a.registry.bind(triggerFor("f"));
      await a.registry.unbind(id, "lost");
      expect((await b.registry.bind(triggerFor("f"))).id).toBe(id);
      await reattachTimePasses(b.registry);
      expect(idsOf(b.registry)).toEqual([id]);
    });

    it("are lost when their process closes: they end unless bound again, and gates stay (G8)", async () => {
      const [a, b] = await joinTwo(REATTACH);
      const gate = await a.registry.bind(gateBy("f"));
      const writeGate = await a.registry.bind(writeGateBy("f"));
      const left = await a.registry.bind(triggerFor("left"));
      const shared = await a.registry.bind(triggerFor("shared"));
      await b.registry.bind(triggerFor("shared"));
      await a.close();
      await untilEnded(b.registry, left.id);
      await reattachTimePasses(b.registry);
      expect(idsOf(b.registry)).toEqual([gate.id, writeGate.id, shared.id].sort());
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

    it("have a provider until the last process has withdrawn it", async () => {
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

    it("have no provider once their process has closed, and custom streams stay known", async () => {
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

    it("gives each partition to one of them, and all to the last one left", async () => {
      const [a, b] = await joinTwo();
      const ofA = contend(a.ownership, PARTITIONS);
      await ofA.until((owned) => owned.size === PARTITIONS);
      const ofB = contend(b.ownership, PARTITIONS);
      // Both own some at some time, and never the same.
      await ofB.until((owned) => owned.size > 0);
      for (const partition of ofB.owned.keys()) expect(ofA.owned.has(partition)).toBe(false);
      const fencesOfA = new Map(ofA.owned);
      await a.close();
      await ofB.until((owned) => owned.size === PARTITIONS);
      for (const [partition, fence] of fencesOfA) expect(ofB.owned.get(partition)).not.toBe(fence);
      ofB.stop();
    });

    it("gives partitions that one process releases to the other", async () => {
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
    it("become orphans when their process has closed, and the other adopts them", async () => {
      const [a, b] = await joinTwo();
      const orphans = collectOrphans(b.leases);
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
    it("calls the other process with payload, metadata and depth", async () => {
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

    it("returns an empty result, and the error of a failed call", async () => {
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

    it("finds no provider when only the caller provides the function", async () => {
      const [a, b] = await joinTwo();
      for (const { routing } of [a, b]) routing.serve(async () => '"answered"');
      await a.registry.provide("f");
      const call = a.routing.call("f", "{}", { timeoutMs: 5000 });
      await expect(call).rejects.toMatchObject({ code: "function_not_found" });
    });
  });
}
