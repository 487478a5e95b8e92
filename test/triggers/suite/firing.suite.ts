import { describe, expect, it } from "vitest";
import type { Host } from "../../support/hosts/host.ts";
import { recorder, testServiceOn, until } from "../../support/hosts/test-service.ts";

/** Payload of functions of `stream` triggers. */
export interface StreamPayload {
  readonly type: "stream";
  readonly timestamp: number;
  readonly revision?: number;
  readonly streamName: string;
  readonly groupId: string;
  readonly id: string | null;
  readonly event: {
    readonly type: string;
    readonly data?: unknown;
    readonly event?: { readonly type: string; readonly data: unknown };
  };
}

const LOBBY = { streamName: "chat", groupId: "lobby" };

/** The events and payloads of `stream` triggers. */
export function describeFiring(host: Host): void {
  const testService = testServiceOn(host);

  describe("stream triggers", () => {
    it("fire after set, update, delete and send, with the fields of a WebSocket frame", async () => {
      const { service, join } = await testService();
      const client = await join();
      const listener = recorder<StreamPayload>();
      await client.registerFunction("audit", listener.handler);
      await client.registerTrigger({
        type: "stream",
        function_id: "audit",
        config: { stream_name: "chat" },
      });
      const item = { ...LOBBY, itemId: "m1" };
      const { position } = await service.set({ ...item, data: { n: 1 } });
      await service.update({ ...item, ops: [{ type: "increment", path: "n", by: 2 }] });
      await service.send({ ...LOBBY, type: "typing", data: "ann" });
      await service.send({ ...item, data: null });
      await service.delete(item);
      const calls = await listener.received(5);
      const base = { type: "stream", streamName: "chat", groupId: "lobby" };
      const at = (revision: number) => ({ ...base, epoch: position.epoch, revision, id: "m1" });
      expect(calls).toMatchObject([
        { ...at(1), event: { type: "create", data: { n: 1 } } },
        { ...at(2), event: { type: "update", data: { n: 3 } } },
        { ...base, id: null, event: { type: "event", event: { type: "typing", data: "ann" } } },
        { ...base, id: "m1", event: { type: "event", event: { type: "message", data: null } } },
        { ...at(3), event: { type: "delete", data: { n: 3 } } },
      ]);
      const timestamps = calls.map(({ timestamp }) => timestamp);
      expect(timestamps).toEqual([...new Set(timestamps)].sort((a, b) => a - b));
    });

    it("fire once for each change of a batch, and not for reads and writes without a change", async () => {
      const { service, join } = await testService();
      const client = await join();
      const listener = recorder<StreamPayload>();
      await client.registerFunction("f", listener.handler);
      await client.registerTrigger({
        type: "stream",
        function_id: "f",
        config: { stream_name: "chat" },
      });
      await service.delete({ ...LOBBY, itemId: "missing" });
      await service.get({ ...LOBBY, itemId: "missing" });
      await service.list(LOBBY);
      await expect(
        service.set({ ...LOBBY, itemId: "a", data: 1, expectedRevision: 5 }),
      ).rejects.toMatchObject({ reason: "REVISION_MISMATCH" });
      await service.batch({
        ...LOBBY,
        mutations: [
          { set: { itemId: "a", data: 1 } },
          { delete: { itemId: "missing" } },
          { update: { itemId: "a", ops: [] } },
          { delete: { itemId: "a" } },
        ],
      });
      await service.set({ ...LOBBY, itemId: "last", data: 1 });
      const calls = await listener.received(4);
      expect(calls.map(({ id, event }) => [id, event.type])).toEqual([
        ["a", "create"],
        ["a", "update"],
        ["a", "delete"],
        ["last", "create"],
      ]);
    });

    it("match by stream, and by group and item when configured", async () => {
      const { service, join } = await testService();
      const client = await join();
      const configs = {
        any: { group_id: "", item_id: null },
        group: { group_id: "lobby" },
        item: { item_id: "m1" },
        both: { group_id: "lobby", item_id: "m1" },
      };
      const received: [string, string, string | null][] = [];
      for (const [name, config] of Object.entries(configs)) {
        await client.registerFunction(name, ({ groupId, id }: StreamPayload) => {
          received.push([name, groupId, id]);
        });
        await client.registerTrigger({
          type: "stream",
          function_id: name,
          config: { stream_name: "chat", ...config },
        });
      }
      await service.set({ streamName: "other", groupId: "lobby", itemId: "m1", data: 1 });
      await service.set({ ...LOBBY, itemId: "m1", data: 1 });
      await service.set({ ...LOBBY, itemId: "m2", data: 1 });
      await service.set({ streamName: "chat", groupId: "cellar", itemId: "m1", data: 1 });
      await service.send({ ...LOBBY, data: 1 });
      await service.send({ ...LOBBY, itemId: "m1", data: 1 });
      await until(
        () => received,
        ({ length }) => length >= 14,
      );
      const of = (name: string) =>
        received.filter(([each]) => each === name).map(([, group, id]) => `${group} ${id}`);
      expect(of("any").sort()).toEqual(
        ["lobby m1", "lobby m2", "cellar m1", "lobby null", "lobby m1"].sort(),
      );
      expect(of("group")).toEqual(["lobby m1", "lobby m2", "lobby null", "lobby m1"]);
      expect(of("item").sort()).toEqual(["cellar m1", "lobby m1", "lobby m1"]);
      expect(of("both")).toEqual(["lobby m1", "lobby m1"]);
    });

    it("with equal definitions are one trigger, which ends with its last registration", async () => {
      const { service, join } = await testService();
      const [first, second] = [await join(), await join()];
      const listener = recorder();
      await first.registerFunction("f", listener.handler);
      await second.registerFunction("f", listener.handler);
      const request = (metadata: unknown) => ({
        type: "stream",
        function_id: "f",
        config: { stream_name: "chat", group_id: "" },
        metadata,
      });
      const one = await first.registerTrigger(request({ a: 1, b: 2 }));
      const again = await second.registerTrigger({
        ...request({ b: 2, a: 1 }),
        config: { stream_name: "chat" },
      });
      expect(service.triggers()).toHaveLength(1);
      const other = await second.registerTrigger(request({ a: 1 }));
      expect(service.triggers()).toHaveLength(2);
      await service.set({ ...LOBBY, itemId: "m1", data: 1 });
      await listener.received(2);
      await again.unregister();
      await other.unregister();
      await service.set({ ...LOBBY, itemId: "m2", data: 2 });
      await listener.received(3);
      await one.unregister();
      expect(service.triggers()).toHaveLength(0);
      await service.set({ ...LOBBY, itemId: "m3", data: 3 });
      const after = recorder();
      await second.registerFunction("after", after.handler);
      await second.registerTrigger({
        type: "stream",
        function_id: "after",
        config: { stream_name: "chat" },
      });
      await service.set({ ...LOBBY, itemId: "m4", data: 4 });
      await after.received(1);
      expect(listener.calls).toHaveLength(3);
    });

    it("are not lost when one registration ends while an equal one begins", async () => {
      const { service, join } = await testService();
      const client = await join();
      const request = { type: "stream", function_id: "f", config: { stream_name: "chat" } };
      for (let i = 0; i < 5; i++) {
        const first = await client.registerTrigger(request);
        const [second] = await Promise.all([client.registerTrigger(request), first.unregister()]);
        expect(service.triggers()).toHaveLength(1);
        await second.unregister();
        expect(service.triggers()).toHaveLength(0);
      }
    });

    it("pass their metadata to the function beside the payload", async () => {
      const { service, join } = await testService();
      const client = await join();
      const seen: unknown[] = [];
      await client.registerFunction("f", (_payload, { metadata }) => {
        seen.push(metadata);
      });
      const config = { stream_name: "chat" };
      await client.registerTrigger({ type: "stream", function_id: "f", config });
      await client.registerTrigger({
        type: "stream",
        function_id: "f",
        config,
        metadata: { route: ["a", 1] },
      });
      await service.set({ ...LOBBY, itemId: "m1", data: 1 });
      await until(
        () => seen,
        ({ length }) => length >= 2,
      );
      expect(seen).toEqual(expect.arrayContaining([undefined, { route: ["a", 1] }]));
    });

    it("call their condition first, and skip the call only when it returns false", async () => {
      const { service, join } = await testService();
      const client = await join();
      const listener = recorder<StreamPayload>();
      await client.registerFunction("f", listener.handler);
      await client.registerFunction("condition", ({ event }: StreamPayload) => {
        if (event.data === "throw") throw new Error("no idea");
        return event.data;
      });
      await client.registerTrigger({
        type: "stream",
        function_id: "f",
        config: { stream_name: "chat", condition_function_id: "condition" },
      });
      const values = [true, false, null, 0, "", "false", { pass: false }, "throw", "end"];
      for (const [i, data] of values.entries())
        await service.set({ ...LOBBY, itemId: `m${i}`, data });
      const calls = await listener.received(7);
      expect(calls.map(({ event }) => event.data)).toEqual([
        ...[true, null, 0, "", "false", { pass: false }, "end"],
      ]);
      const status = () => service.triggers()[0]?.counts;
      expect(await until(status, (counts) => counts?.fired === 7)).toEqual({
        fired: 7,
        skipped: 1,
        failed: 1,
        retried: 0,
        dropped: 0,
      });
    });

    it.each([
      [{ type: "cron", function_id: "f" }, "trigger_type_not_found", /type is "cron"; it may be/],
      [{ type: "stream", function_id: "f" }, "trigger_invalid", /stream_name is missing/],
      [
        { type: "stream", function_id: "f", config: { stream_name: "" } },
        "trigger_invalid",
        /stream_name is missing/,
      ],
      [
        { type: "stream", function_id: "f", config: { stream_name: 7 } },
        "trigger_invalid",
        /stream_name is not a string/,
      ],
      [
        { type: "stream", function_id: "f", config: { stream_name: "s", group_id: ["a"] } },
        "trigger_invalid",
        /group_id/,
      ],
      [{ type: "stream", function_id: "f", config: "chat" }, "trigger_invalid", /config is "chat"/],
      [
        { type: "stream", function_id: "", config: { stream_name: "s" } },
        "trigger_invalid",
        /function_id is missing/,
      ],
      [
        { type: "stream", function_id: "f", config: { stream_name: "s", retry: 3 } },
        "trigger_invalid",
        /retry is 3/,
      ],
      [
        {
          type: "stream",
          function_id: "f",
          config: { stream_name: "s", retry: { max_attempts: 0 } },
        },
        "trigger_invalid",
        /max_attempts is 0; it may be an integer from 1/,
      ],
      [
        { type: "stream:join", function_id: "f", config: { gate: "no" } },
        "trigger_invalid",
        /gate is "no"; it may be true or false/,
      ],
      [
        { type: "stream:write", function_id: "f" },
        "trigger_invalid",
        /stream_name is missing; it may be the name of the stream to guard/,
      ],
    ])("are refused with a reason when malformed: %j", async (request, code, sentence) => {
      const { service, join } = await testService();
      const client = await join();
      const registering = client.registerTrigger(request);
      if (!host.can.results) await registering;
      else {
        await expect(registering).rejects.toMatchObject({
          code,
          message: expect.stringMatching(sentence) as unknown,
        });
      }
      expect(service.triggers()).toHaveLength(0);
    });

    it("ignore unknown keys of their config and report them to the operator", async () => {
      const { problems, join } = await testService();
      const client = await join();
      await client.registerFunction("f", () => {});
      await client.registerTrigger({
        type: "stream",
        function_id: "f",
        config: { stream_name: "chat", groupid: "lobby" },
      });
      expect(problems).toMatchObject([
        { kind: "trigger_odd", message: expect.stringContaining("groupid") as unknown },
      ]);
    });
  });
}
