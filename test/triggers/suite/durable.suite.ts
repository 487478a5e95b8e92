import { describe, expect, it } from "vitest";
import { DEAD_LETTERS, type StreamService, type TriggerRequest } from "millrace";
import type { Host } from "../../support/hosts/host.ts";
import { recorder, testServiceOn, until } from "../../support/hosts/test-service.ts";
import type { ServiceStore } from "../../support/hosts/service-stores.ts";
import type { StreamPayload } from "./firing.suite.ts";

const AUDIT = {
  type: "stream",
  function_id: "f",
  config: { stream_name: "chat", durable: "audit" },
};

/** The trigger with other settings. */
function audit(config: Record<string, unknown>, functionId = "f"): TriggerRequest {
  return { ...AUDIT, function_id: functionId, config: { ...AUDIT.config, ...config } };
}

function write(service: StreamService, data: number, groupId = "g") {
  return service.set({ streamName: "chat", groupId, itemId: "i", data });
}

/** What the function was called with: revisions of one group. */
const revisionsOf = (calls: readonly StreamPayload[], group = "g") =>
  calls.filter(({ groupId }) => groupId === group).map(({ revision }) => revision);

const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, i) => from + i);

async function lettersOf(service: StreamService, functionId: string) {
  const { items } = await service.list({
    streamName: DEAD_LETTERS,
    groupId: functionId,
    pageSize: 1000,
  });
  return items.map(
    ({ data }) => data as unknown as { error: { code: string }; payload: StreamPayload },
  );
}

/** Durable triggers: a registration that outlives its connection, and events that wait. */
export function describeDurable(host: Host, store: ServiceStore): void {
  const testService = testServiceOn(host);
  const isInForce = (service: StreamService) =>
    service.triggers().some(({ config }) => (config as { durable?: string }).durable === "audit");

  describe("durable triggers", () => {
    it("outlive their connection: events wait, and are delivered once, in order, when a provider is back", async () => {
      const { service, join } = await testService({ store: await store.open() });
      const first = await join();
      const before = recorder<StreamPayload>();
      await first.registerFunction("f", before.handler);
      await first.registerTrigger(AUDIT);
      await write(service, 1);
      // The response to the call has arrived, too: otherwise the event comes again.
      await until(
        () => service.triggers()[0],
        (trigger) => trigger?.counts.fired === 1,
      );
      await first.vanish();
      for (let n = 2; n <= 20; n++) await write(service, n);
      expect(isInForce(service)).toBe(true);
      const second = await join();
      const after = recorder<StreamPayload>();
      await second.registerFunction("f", after.handler);
      await second.registerTrigger(AUDIT);
      await after.received(19);
      await write(service, 21);
      await after.received(20);
      expect(revisionsOf(before.calls)).toEqual([1]);
      expect(revisionsOf(after.calls)).toEqual(upTo(20, 2));
      expect(service.triggers()).toHaveLength(1);
      // An event is pending until the response to its call has arrived.
      const trigger = await until(
        () => service.triggers()[0],
        (each) => each?.pending === 0,
      );
      expect(trigger).toMatchObject({
        config: { durable: "audit", max_away: "7d" },
        served: true,
      });
    });

    it("need no registration of the provider that comes back", async () => {
      const { service, join } = await testService({ store: await store.open() });
      const first = await join();
      await first.registerTrigger(AUDIT);
      await first.vanish();
      await write(service, 1);
      const second = await join();
      const { calls, handler, received } = recorder<StreamPayload>();
      await second.registerFunction("f", handler);
      await received(1);
      expect(revisionsOf(calls)).toEqual([1]);
    });

    it("have their name as their identity: registering again replaces the settings", async () => {
      const { service, join } = await testService({ store: await store.open() });
      const client = await join();
      const old = recorder<StreamPayload>();
      const next = recorder<StreamPayload>();
      await client.registerFunction("next", next.handler);
      await client.registerTrigger(AUDIT);
      await write(service, 1);
      await client.registerTrigger({
        ...audit({ group_id: "g", max_away: "12h" }, "next"),
        metadata: { version: 2 },
      });
      await client.registerFunction("f", old.handler);
      await write(service, 2);
      await write(service, 1, "elsewhere");
      await next.received(2);
      // What waited for the earlier function goes to the new one.
      expect(revisionsOf(next.calls)).toEqual([1, 2]);
      expect(old.calls).toEqual([]);
      expect(service.triggers()).toMatchObject([
        {
          function_id: "next",
          config: { durable: "audit", group_id: "g", max_away: "12h" },
          metadata: { version: 2 },
        },
      ]);
    });

    it("call one of two providers with each event", async () => {
      const { service, join } = await testService({ store: await store.open() });
      const [one, two] = [await join(), await join()];
      const { calls, handler, received } = recorder<StreamPayload>();
      for (const client of [one, two]) {
        await client.registerFunction("f", handler);
        await client.registerTrigger(AUDIT);
      }
      for (let n = 1; n <= 10; n++) await write(service, n);
      await received(10);
      await one.vanish();
      for (let n = 11; n <= 20; n++) await write(service, n);
      await received(20);
      expect(revisionsOf(calls)).toEqual(upTo(20));
    });

    it("end when the registration is removed, and their events are dropped", async () => {
      const { service, join } = await testService({ store: await store.open() });
      const client = await join();
      const registration = await client.registerTrigger(AUDIT);
      await write(service, 1);
      await registration.unregister();
      expect(isInForce(service)).toBe(false);
      await client.registerTrigger(AUDIT);
      const { calls, handler, received } = recorder<StreamPayload>();
      await client.registerFunction("f", handler);
      await write(service, 2);
      await received(1);
      expect(revisionsOf(calls)).toEqual([2]);
    });

    it("of leaves deliver those of subscriptions that ended while their function was away", async () => {
      const { service, join } = await testService({ store: await store.open() });
      const first = await join();
      await first.registerTrigger({
        ...{ type: "stream:leave", function_id: "left" },
        config: { durable: "leaves" },
      });
      await first.vanish();
      for (const groupId of ["a", "b"]) {
        const frames = await service.subscribe({ streamName: "chat", groupId });
        await frames.next();
        await frames.return?.();
      }
      const second = await join();
      const { calls, handler, received } = recorder<{ group_id: string }>();
      await second.registerFunction("left", handler);
      await received(2);
      expect(new Set(calls.map(({ group_id }) => group_id))).toEqual(new Set(["a", "b"]));
    });

    it("drop the oldest events beyond the backlog, count them, and keep them as dead letters", async () => {
      const { service, join } = await testService({
        store: await store.open(),
        triggerLimits: { maxBacklog: 5 },
      });
      const client = await join();
      await client.registerTrigger(AUDIT);
      for (let n = 1; n <= 12; n++) await write(service, n);
      await until(
        () => service.triggers()[0],
        (trigger) => trigger?.counts.dropped === 7,
      );
      const { calls, handler, received } = recorder<StreamPayload>();
      await client.registerFunction("f", handler);
      await received(5);
      expect(revisionsOf(calls)).toEqual([8, 9, 10, 11, 12]);
      const letters = await until(
        () => lettersOf(service, "f"),
        ({ length }) => length === 7,
      );
      expect(letters.map(({ error }) => error.code)).toEqual(Array(7).fill("backlog_full"));
      expect(new Set(letters.map(({ payload }) => payload.revision))).toEqual(new Set(upTo(7)));
    });

    it("drop events that have waited for a provider longer than max_away", async () => {
      const { service, join } = await testService({ store: await store.open() });
      const client = await join();
      await client.registerTrigger(audit({ max_away: "1s" }));
      for (let n = 1; n <= 3; n++) await write(service, n);
      await until(
        () => service.triggers()[0],
        (trigger) => trigger?.counts.dropped === 3,
      );
      await write(service, 4);
      const { calls, handler, received } = recorder<StreamPayload>();
      await client.registerFunction("f", handler);
      await received(1);
      expect(revisionsOf(calls)).toEqual([4]);
      const letters = await until(
        () => lettersOf(service, "f"),
        ({ length }) => length === 3,
      );
      expect(letters.map(({ error }) => error.code)).toEqual(Array(3).fill("away_too_long"));
    });
  });
}
