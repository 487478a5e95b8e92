import { describe, expect, it } from "vitest";
import type { StreamService, TriggerRequest } from "millrace";
import type { Host } from "../../support/hosts/host.ts";
import { recorder, testServiceOn, until } from "../../support/hosts/test-service.ts";
import { random } from "../../support/random.ts";
import { Projection, type StatePayload, contentOf } from "../../support/triggers/projection.ts";
import type { ServiceStore } from "../../support/hosts/service-stores.ts";

function projector(config: Record<string, unknown> = {}): TriggerRequest {
  return {
    type: "stream",
    function_id: "f",
    config: { stream_name: "chat", durable: "projection", start: "state", ...config },
  };
}

const at = (groupId: string, itemId: string) => ({ streamName: "chat", groupId, itemId });

/** A random write of one of a few items in one of a few groups. */
function randomWrite(service: StreamService, dice: ReturnType<typeof random>, n: number) {
  const item = at(`g${dice.below(5)}`, `i${dice.below(8)}`);
  if (dice.chance(0.2)) return service.delete(item);
  if (dice.chance(0.3))
    return service.update({ ...item, ops: [{ type: "set", path: "", value: n }] });
  return service.set({ ...item, data: n });
}

/** Triggers that receive the present state first. */
export function describeStart(host: Host, store: ServiceStore): void {
  const testService = testServiceOn(host);
  const serviceOn = async (options = {}) => testService({ store: await store.open(), ...options });
  const equals = async (projection: Projection, service: StreamService) => {
    const content = JSON.stringify(await contentOf(service, "chat"));
    await until(
      () => JSON.stringify(projection.content()),
      (projected) => projected === content,
    );
    expect(projection.faults).toEqual([]);
  };

  describe('triggers with start: "state"', () => {
    it("receive the state of each group, and then the changes after it", async () => {
      const { service, join } = await serviceOn();
      await service.set({ ...at("a", "1"), data: "one" });
      await service.set({ ...at("a", "2"), data: null });
      await service.set({ ...at("b", "1"), data: { n: 1 } });
      await service.set({ ...at("gone", "1"), data: 1 });
      await service.delete(at("gone", "1"));
      await service.set({ ...at("a", "1"), data: "elsewhere", streamName: "other" });
      const client = await join();
      const { calls, handler, received } = recorder<StatePayload>();
      await client.registerFunction("f", handler);
      await client.registerTrigger(projector());
      await received(2);
      await service.set({ ...at("a", "1"), data: "two" });
      await received(3);
      const { position } = await service.list({ streamName: "chat", groupId: "a" });
      expect(calls.filter(({ groupId }) => groupId === "a")).toEqual([
        {
          type: "stream",
          timestamp: expect.any(Number) as number,
          epoch: position.epoch,
          revision: 2,
          streamName: "chat",
          groupId: "a",
          id: null,
          event: {
            type: "sync",
            data: ["one", null],
            ids: ["1", "2"],
            first: true,
            last: true,
            reason: "registered",
          },
          author: "",
        },
        expect.objectContaining({ revision: 3, event: { type: "update", data: "two" } }),
      ]);
      expect(calls.filter(({ groupId }) => groupId === "b")).toMatchObject([
        { revision: 1, event: { type: "sync", data: [{ n: 1 }], ids: ["1"] } },
      ]);
      expect(calls).toHaveLength(3);
    });

    it("receive a large group in parts, at one position", async () => {
      const { service, join } = await serviceOn();
      const values = Array.from({ length: 2500 }, (_, n) => n);
      for (let i = 0; i < values.length; i += 500) {
        await service.batch({
          ...{ streamName: "chat", groupId: "a" },
          mutations: values.slice(i, i + 500).map((n) => ({ set: { itemId: String(n), data: n } })),
        });
      }
      const client = await join();
      const projection = new Projection();
      await client.registerFunction("f", (payload: StatePayload) => projection.take(payload));
      await client.registerTrigger(projector());
      await equals(projection, service);
      expect(projection.calls).toBe(3);
    });

    it("receive the state of their item, or null, when they have one", async () => {
      const { service, join } = await serviceOn();
      await service.set({ ...at("a", "1"), data: "one" });
      await service.set({ ...at("a", "2"), data: "two" });
      const client = await join();
      const { calls, handler, received } = recorder<StatePayload>();
      await client.registerFunction("f", handler);
      await client.registerTrigger(projector({ group_id: "a", item_id: "2" }));
      await received(1);
      await service.set({ ...at("a", "1"), data: "three" });
      await service.set({ ...at("a", "2"), data: "four" });
      await received(2);
      expect(calls).toMatchObject([
        { id: "2", event: { type: "sync", data: "two", ids: ["2"], first: true, last: true } },
        { id: "2", event: { type: "update", data: "four" } },
      ]);
      await client.registerTrigger(projector({ group_id: "a", item_id: "none" }));
      await received(3);
      expect(calls[2]).toMatchObject({ id: "none", event: { type: "sync", data: null, ids: [] } });
    });

    it("start once: registering again with the same place continues", async () => {
      const { service, join } = await serviceOn();
      await service.set({ ...at("a", "1"), data: 1 });
      const client = await join();
      const projection = new Projection();
      await client.registerFunction("f", (payload: StatePayload) => projection.take(payload));
      await client.registerTrigger(projector());
      await equals(projection, service);
      await client.registerTrigger(projector({ max_away: "1h" }));
      await service.set({ ...at("a", "1"), data: 2 });
      await equals(projection, service);
      expect(projection.reasons.get("a")).toEqual(["registered"]);
      await client.registerTrigger(projector({ group_id: "a" }));
      await until(
        () => projection.reasons.get("a"),
        (reasons) => reasons?.length === 2,
      );
    });

    it("make a projection that equals its source, from nothing, under load (G3)", async () => {
      const { service, join } = await serviceOn();
      const dice = random(11);
      for (let n = 0; n < 50; n++) await randomWrite(service, dice, n);
      let isWriting = true;
      let written = 0;
      const writing = Array.from({ length: 4 }, async () => {
        while (isWriting) {
          await randomWrite(service, dice, ++written);
          // In memory, writes alone would leave no turn of the event loop to others.
          await new Promise((resolve) => setImmediate(resolve));
        }
      });
      const client = await join();
      const projection = new Projection();
      await client.registerFunction("f", async (payload: StatePayload) => {
        if (dice.chance(0.1)) await new Promise((resolve) => setTimeout(resolve, 1));
        projection.take(payload);
      });
      await client.registerTrigger(projector());
      await until(
        () => [projection.calls, written],
        ([calls = 0, writes = 0]) => calls > 100 && writes > 300,
      );
      isWriting = false;
      await Promise.all(writing);
      await equals(projection, service);
    });

    it("start over from the state of the groups with too many events, and give the reason", async () => {
      const { service, join } = await serviceOn({ triggerLimits: { maxBacklog: 10 } });
      const client = await join();
      const projection = new Projection();
      const registration = await client.registerFunction("f", (payload: StatePayload) =>
        projection.take(payload),
      );
      await client.registerTrigger(projector());
      for (const group of ["busy", "emptied", "quiet"])
        await service.set({ ...at(group, "1"), data: 0 });
      await equals(projection, service);
      await registration.unregister();
      await service.set({ ...at("quiet", "1"), data: 1 });
      await service.delete(at("emptied", "1"));
      for (let n = 1; n <= 30; n++) await service.set({ ...at("busy", "1"), data: n });
      await until(
        () => service.triggers()[0]?.counts.dropped,
        (dropped) => dropped === 30,
      );
      await client.registerFunction("f", (payload: StatePayload) => projection.take(payload));
      await equals(projection, service);
      expect(projection.reasons.get("busy")).toEqual(["overflow"]);
      expect(projection.reasons.get("quiet")).toBeUndefined();
      await service.set({ ...at("busy", "1"), data: "after" });
      await equals(projection, service);
    });

    it("start over from the state of the groups whose events waited longer than max_away", async () => {
      const { service, join } = await serviceOn();
      const client = await join();
      const projection = new Projection();
      const registration = await client.registerFunction("f", (payload: StatePayload) =>
        projection.take(payload),
      );
      await client.registerTrigger(projector({ max_away: "1s" }));
      await service.set({ ...at("a", "1"), data: 0 });
      await service.set({ ...at("b", "1"), data: 0 });
      await equals(projection, service);
      await registration.unregister();
      for (let n = 1; n <= 5; n++) await service.set({ ...at("a", "1"), data: n });
      await service.delete(at("b", "1"));
      await until(
        () => service.triggers()[0],
        (trigger) => trigger?.pending === 2 && trigger.counts.dropped === 6,
      );
      await service.set({ ...at("a", "1"), data: 6 });
      await client.registerFunction("f", (payload: StatePayload) => projection.take(payload));
      await equals(projection, service);
      expect(projection.reasons.get("a")).toEqual(["max_away"]);
      expect(projection.reasons.get("b")).toEqual(["max_away"]);
    });

    it("receive the state of a group again when its delivery was interrupted", async () => {
      const { service, join } = await serviceOn();
      await service.set({ ...at("a", "1"), data: 1 });
      const client = await join();
      const projection = new Projection();
      let failures = 0;
      await client.registerFunction("f", (payload: StatePayload) => {
        if (++failures === 1) throw new Error("not yet");
        projection.take(payload);
      });
      await client.registerTrigger(
        projector({ retry: { max_attempts: 3, initial_backoff_ms: 1 } }),
      );
      await service.set({ ...at("a", "1"), data: 2 });
      await equals(projection, service);
    });
  });
}
