import { describe, expect, it } from "vitest";
import { DEAD_LETTERS, type StreamService } from "millrace";
import type { Host } from "../../support/hosts/host.ts";
import { latch, recorder, testServiceOn, until } from "../../support/hosts/test-service.ts";
import { random } from "../../support/random.ts";
import type { StreamPayload } from "./firing.suite.ts";

const CHAT = { type: "stream", function_id: "f", config: { stream_name: "chat" } };

function write(service: StreamService, groupId: string, data: unknown) {
  return service.set({ streamName: "chat", groupId, itemId: "i", data: data as number });
}

async function deadLetters(service: StreamService, functionId: string, count: number) {
  for (;;) {
    const { items } = await service.list({ streamName: DEAD_LETTERS, groupId: functionId });
    if (items.length >= count) return items.map(({ data }) => data as Record<string, unknown>);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The order of calls of trigger functions, and the handling of failed ones. */
export function describeDispatch(host: Host): void {
  const testService = testServiceOn(host);
  const status = (service: StreamService) => service.triggers()[0];

  describe("dispatch", () => {
    it("calls a trigger with the changes of a group once each, in revision order, one at a time", async () => {
      const dice = random(7);
      const { service, join } = await testService();
      const [one, two] = [await join(), await join()];
      const received: [string, number][] = [];
      const running = new Map<string, number>();
      let peak = 0;
      const handler = async ({ groupId, revision }: StreamPayload) => {
        running.set(groupId, (running.get(groupId) ?? 0) + 1);
        peak = Math.max(peak, running.get(groupId) ?? 0);
        if (dice.chance(0.3)) await new Promise((resolve) => setTimeout(resolve, dice.below(4)));
        received.push([groupId, revision ?? 0]);
        running.set(groupId, (running.get(groupId) ?? 0) - 1);
      };
      await one.registerFunction("f", handler);
      await two.registerFunction("f", handler);
      await one.registerTrigger(CHAT);
      const groups = ["a", "b", "c"];
      for (let n = 0; n < 100; n++)
        await Promise.all(groups.map((group) => write(service, group, n)));
      await until(
        () => received,
        ({ length }) => length >= 300,
      );
      const revisions = Array.from({ length: 100 }, (_, i) => i + 1);
      for (const group of groups)
        expect(received.filter(([each]) => each === group).map(([, revision]) => revision)).toEqual(
          revisions,
        );
      expect(peak).toBe(1);
    });

    it("runs groups concurrently, up to a limit", async () => {
      const { service, join } = await testService({ triggerLimits: { maxConcurrent: 3 } });
      const client = await join();
      const done = latch();
      let running = 0;
      const listener = recorder<StreamPayload>();
      await client.registerFunction("f", async (payload, context) => {
        running++;
        await done.opened;
        listener.handler(payload, context);
      });
      await client.registerTrigger(CHAT);
      for (const group of ["a", "b", "c", "d"]) await write(service, group, 1);
      await until(
        () => running,
        (count) => count >= 3,
      );
      await client.trigger({
        function_id: "stream::list_groups",
        payload: { stream_name: "chat" },
      });
      expect(running).toBe(3);
      done.open();
      await listener.received(4);
    });

    it("never makes writes wait for handlers or depend on them (G9)", async () => {
      const { service, join } = await testService();
      const client = await join();
      await client.registerFunction("f", () => new Promise(() => {}));
      await client.registerTrigger(CHAT);
      await client.registerFunction("throws", () => {
        throw new Error("no");
      });
      await client.registerTrigger({ ...CHAT, function_id: "throws" });
      for (let n = 1; n <= 20; n++)
        expect((await write(service, "a", n)).position.revision).toBe(n);
    });

    it("never lets a trigger block other triggers, or a group block other groups", async () => {
      const { service, join } = await testService();
      const client = await join();
      const listener = recorder<StreamPayload>();
      await client.registerFunction("stuck", () => new Promise(() => {}));
      await client.registerTrigger({ ...CHAT, function_id: "stuck" });
      await client.registerFunction("f", (payload: StreamPayload, context) =>
        payload.groupId === "a" && payload.revision === 1
          ? new Promise(() => {})
          : listener.handler(payload, context),
      );
      await client.registerTrigger(CHAT);
      await write(service, "a", 1);
      await write(service, "a", 2);
      await write(service, "b", 1);
      await write(service, "c", 1);
      const calls = await listener.received(2);
      expect(calls.map(({ groupId }) => groupId)).toEqual(["b", "c"]);
    });

    it("does not retry failed calls by default, and writes a dead letter for each", async () => {
      const { service, join, problems } = await testService();
      const client = await join();
      let calls = 0;
      await client.registerFunction("f", () => {
        calls++;
        throw new Error("the kettle is empty");
      });
      await client.registerTrigger({ ...CHAT, metadata: { to: "ops" } });
      await write(service, "a", { n: 1 });
      const [letter] = await deadLetters(service, "f", 1);
      expect(letter).toMatchObject({
        function_id: "f",
        error: {
          code: "invocation_failed",
          message: expect.stringContaining("the kettle is empty") as unknown,
          attempts: 1,
        },
        payload: { streamName: "chat", groupId: "a", id: "i", event: { data: { n: 1 } } },
        trigger: { ...CHAT, metadata: { to: "ops" } },
      });
      expect(Date.parse(letter?.["time"] as string)).toBeGreaterThan(0);
      expect(calls).toBe(1);
      expect(problems).toContainEqual(expect.objectContaining({ kind: "trigger_failed" }));
      expect(status(service)?.counts).toMatchObject({ fired: 0, failed: 1, retried: 0 });
    });

    it("does not retry when a nested call of the function finds no provider", async () => {
      const { service, join } = await testService();
      const client = await join();
      let calls = 0;
      await client.registerFunction("f", async () => {
        calls++;
        await client.trigger({ function_id: "nobody" });
      });
      await client.registerTrigger(CHAT);
      await write(service, "a", 1);
      const [letter] = await deadLetters(service, "f", 1);
      expect(letter).toMatchObject({ error: { attempts: 1 } });
      expect(calls).toBe(1);
      expect(status(service)?.counts).toMatchObject({ failed: 1 });
    });

    it("counts events that wait for another attempt as backlog", async () => {
      const { service, join } = await testService({ triggerLimits: { maxBacklog: 5 } });
      const client = await join();
      await client.registerFunction("f", () => {
        throw new Error("never");
      });
      const retry = { max_attempts: 5, initial_backoff_ms: 60_000 };
      await client.registerTrigger({ ...CHAT, config: { ...CHAT.config, retry } });
      for (let n = 1; n <= 20; n++) await write(service, `g${n}`, n);
      const letters = await deadLetters(service, "f", 15);
      expect(letters).toHaveLength(15);
      await until(
        () => status(service)?.pending,
        (pending) => pending === 5,
      );
      expect(status(service)?.counts).toMatchObject({ dropped: 15, fired: 0 });
    });

    it("retries as often as configured, and blocks only the event's own group", async () => {
      const { service, join } = await testService();
      const client = await join();
      const received: [string, number][] = [];
      let failures = 0;
      await client.registerFunction("f", ({ groupId, revision }: StreamPayload) => {
        if (groupId === "a" && revision === 1 && failures < 3) {
          failures++;
          throw new Error("not yet");
        }
        received.push([groupId, revision ?? 0]);
      });
      const retry = { max_attempts: 4, initial_backoff_ms: 20 };
      await client.registerTrigger({ ...CHAT, config: { ...CHAT.config, retry } });
      await write(service, "a", 1);
      await write(service, "a", 2);
      await write(service, "b", 1);
      await until(
        () => received,
        ({ length }) => length >= 3,
      );
      expect(received).toEqual([
        ["b", 1],
        ["a", 1],
        ["a", 2],
      ]);
      const counts = await until(
        () => status(service)?.counts,
        (each) => each?.fired === 3,
      );
      expect(counts).toMatchObject({ failed: 0, retried: 3 });
    });

    it("gives up after the last attempt, and continues with the next event", async () => {
      const { service, join } = await testService();
      const client = await join();
      let attempts = 0;
      const listener = recorder<StreamPayload>();
      await client.registerFunction("f", (payload: StreamPayload, context) => {
        if (payload.revision === 2) return listener.handler(payload, context);
        attempts++;
        throw new Error("never");
      });
      const retry = { max_attempts: 3, initial_backoff_ms: 1 };
      await client.registerTrigger({ ...CHAT, config: { ...CHAT.config, retry } });
      await write(service, "a", 1);
      await write(service, "a", 2);
      await listener.received(1);
      expect(attempts).toBe(3);
      const [letter] = await deadLetters(service, "f", 1);
      expect(letter).toMatchObject({ error: { attempts: 3 } });
    });

    it("drops the oldest events beyond the backlog, as dead letters, and counts them", async () => {
      const { service, join } = await testService({ triggerLimits: { maxBacklog: 5 } });
      const client = await join();
      const done = latch();
      const received: number[] = [];
      await client.registerFunction("f", async ({ revision }: StreamPayload) => {
        await done.opened;
        received.push(revision ?? 0);
      });
      await client.registerTrigger(CHAT);
      await write(service, "a", 1);
      await until(
        () => status(service)?.pending,
        (pending) => pending === 1,
      );
      for (let n = 2; n <= 10; n++) await write(service, "a", n);
      const letters = await deadLetters(service, "f", 4);
      done.open();
      await until(
        () => received,
        ({ length }) => length >= 6,
      );
      expect(received).toEqual([1, 6, 7, 8, 9, 10]);
      expect(letters.map(({ error }) => error)).toEqual(
        Array.from(
          { length: 4 },
          () => expect.objectContaining({ code: "backlog_full" }) as unknown,
        ),
      );
      const dropped = letters.map(({ payload }) => (payload as StreamPayload).revision);
      expect(new Set(dropped)).toEqual(new Set([2, 3, 4, 5]));
      const counts = await until(
        () => status(service)?.counts,
        (each) => each?.fired === 6,
      );
      expect(counts).toMatchObject({ dropped: 4 });
    });

    it("waits while a function has no provider, and loses nothing", async () => {
      const { service, join, problems } = await testService();
      const [registrant, provider] = [await join(), await join()];
      await registrant.registerTrigger(CHAT);
      expect(problems).toMatchObject([{ kind: "trigger_waits", functionId: "f" }]);
      for (let n = 1; n <= 3; n++) await write(service, "a", n);
      await until(
        () => status(service)?.pending,
        (pending) => pending === 3,
      );
      expect(status(service)?.served).toBe(false);
      const listener = recorder<StreamPayload>();
      await provider.registerFunction("f", listener.handler);
      const calls = await listener.received(3);
      expect(calls.map(({ revision }) => revision)).toEqual([1, 2, 3]);
    });

    it("passes events to another provider, in order, when the first disconnects during a call", async () => {
      const { service, join } = await testService();
      const [registrant, doomed, other] = [await join(), await join(), await join()];
      const called = latch();
      await doomed.registerFunction("f", () => {
        called.open();
        return new Promise(() => {});
      });
      await registrant.registerTrigger(CHAT);
      for (let n = 1; n <= 3; n++) await write(service, "a", n);
      await called.opened;
      await doomed.vanish();
      const listener = recorder<StreamPayload>();
      await other.registerFunction("f", listener.handler);
      const calls = await listener.received(3);
      expect(calls.map(({ revision }) => revision)).toEqual([1, 2, 3]);
      const counts = await until(
        () => status(service)?.counts,
        (each) => each?.fired === 3,
      );
      expect(counts).toMatchObject({ failed: 0 });
    });

    if (host.can.causes) {
      it("ends an endless chain of a function that triggers itself, with a dead letter", async () => {
        const { service, join } = await testService();
        const client = await join();
        let calls = 0;
        await client.registerFunction("f", async ({ event }: StreamPayload) => {
          calls++;
          await client.trigger({
            function_id: "stream::set",
            payload: {
              stream_name: "chat",
              group_id: "a",
              item_id: "i",
              data: (event.data as number) + 1,
            },
          });
        });
        await client.registerTrigger(CHAT);
        await write(service, "a", 0);
        const [letter] = await deadLetters(service, "f", 1);
        expect(letter).toMatchObject({ error: { code: "depth_exceeded", attempts: 0 } });
        expect(calls).toBeLessThanOrEqual(16);
        expect((await write(service, "b", 0)).created).toBe(true);
      });
    }
  });
}
