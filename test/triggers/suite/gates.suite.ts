import { describe, expect, it } from "vitest";
import type { JoinPayload, LeavePayload, StreamFrame } from "millrace";
import type { Host } from "../../support/hosts/host.ts";
import { latch, recorder, testServiceOn } from "../../support/hosts/test-service.ts";

const ROOM = { streamName: "rooms", groupId: "attic" };
const JOIN = { type: "stream:join", function_id: "may-join" };

/** Gates and custom streams whose functions run in a host. */
export function describeGates(host: Host): void {
  const testService = testServiceOn(host);

  describe("gates", () => {
    it("identify a caller, whose context reaches join and leave", async () => {
      const { service, join } = await testService({ authFunction: "who" });
      const client = await join();
      const [joins, leaves] = [recorder<JoinPayload>(), recorder<LeavePayload>()];
      await client.registerFunction("who", ({ headers }) => ({ context: { user: headers.user } }));
      await client.registerFunction("may-join", joins.handler);
      await client.registerFunction("left", leaves.handler);
      await client.registerTrigger(JOIN);
      await client.registerTrigger({ type: "stream:leave", function_id: "left" });
      const auth = { headers: { user: "ann" } };
      const frames = await service.subscribe({ ...ROOM, itemId: "lamp", auth });
      await frames.next();
      await frames.return?.();
      const [joined] = await joins.received(1);
      const left = {
        subscription_id: expect.stringMatching(/./),
        stream_name: "rooms",
        group_id: "attic",
        id: "lamp",
        user: null,
        context: { user: "ann" },
        connection_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      };
      expect(joined).toEqual({ action: "subscribe", ...left });
      const { subscription_id, connection_id } = joined as JoinPayload;
      expect(await leaves.received(1)).toEqual([{ ...left, subscription_id, connection_id }]);
    });

    it.each([
      ["true", { unauthorized: true }],
      ["neither true nor false", { unauthorized: "yes" }],
      ["a number", { unauthorized: 0 }],
    ])("refuse when unauthorized is %s (G8)", async (_what, answer) => {
      const { service, join } = await testService();
      const client = await join();
      await client.registerFunction("may-join", () => answer);
      await client.registerTrigger(JOIN);
      await expect(service.subscribe(ROOM)).rejects.toMatchObject({ reason: "JOIN_REFUSED" });
    });

    it.each([
      ["true", true],
      ["false", false],
      ["a number", 0],
      ["a string", "unauthorized"],
      ["an array", [{ unauthorized: false }]],
      ["an object with an error", { error: "forbidden" }],
      ["an object with a statusCode of 403", { statusCode: 403 }],
    ])("refuse when they return %s (G8)", async (_what, answer) => {
      const { service, join } = await testService();
      const client = await join();
      await client.registerFunction("may-join", () => answer);
      await client.registerTrigger(JOIN);
      await expect(service.subscribe(ROOM)).rejects.toMatchObject({ reason: "JOIN_REFUSED" });
    });

    it.each([
      ["nothing", undefined],
      ["null", null],
      ["unauthorized: false", { unauthorized: false }],
      ["an object without an objection", { allowed: false }],
    ])("allow when they return %s", async (_what, answer) => {
      const { service, join } = await testService();
      const client = await join();
      await client.registerFunction("may-join", () => answer);
      await client.registerTrigger(JOIN);
      const frames = await service.subscribe(ROOM);
      expect((await frames.next()).value?.kind).toBe("sync");
      await frames.return?.();
    });

    it("refuse when they throw, hang or disconnect during the call, and without a provider (G8)", async () => {
      const { service, join } = await testService({ gateTimeoutMs: 150 });
      const client = await join();
      const refused = async () =>
        expect(service.subscribe(ROOM)).rejects.toMatchObject({ reason: "JOIN_REFUSED" });
      const throwing = await client.registerFunction("may-join", () => {
        throw new Error("no idea");
      });
      await client.registerTrigger(JOIN);
      await refused();
      await throwing.unregister();
      await refused();
      const hanging = await client.registerFunction("may-join", () => new Promise(() => {}));
      await refused();
      await hanging.unregister();
      const doomed = await join();
      const called = latch();
      await doomed.registerFunction("may-join", () => {
        called.open();
        return new Promise(() => {});
      });
      const attempt = refused();
      await called.opened;
      await doomed.vanish();
      await attempt;
      await client.vanish();
      await refused();
      // The gate has stayed registered; a new provider serves it.
      const back = await join();
      await back.registerFunction("may-join", () => null);
      const frames = await service.subscribe(ROOM);
      expect((await frames.next()).value?.kind).toBe("sync");
      await frames.return?.();
    });

    it("are skipped only when their condition returns false", async () => {
      const { service, join } = await testService();
      const client = await join();
      await client.registerFunction("may-join", () => ({ unauthorized: true }));
      await client.registerFunction("is-room", ({ stream_name }: JoinPayload) => {
        if (stream_name === "odd") throw new Error("no idea");
        return stream_name === "rooms";
      });
      await client.registerTrigger({ ...JOIN, config: { condition_function_id: "is-room" } });
      await expect(service.subscribe(ROOM)).rejects.toMatchObject({ reason: "JOIN_REFUSED" });
      await expect(service.subscribe({ ...ROOM, streamName: "odd" })).rejects.toMatchObject({
        reason: "JOIN_REFUSED",
      });
      const frames = await service.subscribe({ ...ROOM, streamName: "open" });
      await frames.return?.();
    });

    it("precede join listeners, which are called only after every gate allowed the join", async () => {
      const { service, join } = await testService();
      const client = await join();
      const listener = recorder<JoinPayload>();
      let mayJoin = false;
      await client.registerFunction("may-join", () => ({ unauthorized: !mayJoin }));
      await client.registerFunction("listen", (payload, context) => {
        listener.handler(payload, context);
        throw new Error("it is ignored");
      });
      await client.registerTrigger(JOIN);
      await client.registerTrigger({
        type: "stream:join",
        function_id: "listen",
        config: { gate: false },
      });
      await expect(service.subscribe(ROOM)).rejects.toMatchObject({ reason: "JOIN_REFUSED" });
      mayJoin = true;
      const frames = await service.subscribe({ ...ROOM, itemId: "second" });
      await frames.return?.();
      const calls = await listener.received(1);
      expect(calls.map(({ id }) => id)).toEqual(["second"]);
    });
  });

  describe("custom streams", () => {
    const overrides = (table: Map<string, unknown>) => ({
      get: ({ item_id }: { item_id: string }) => table.get(item_id) ?? null,
      set: ({ item_id, data }: { item_id: string; data: unknown }) => {
        const old_value = table.get(item_id) ?? null;
        table.set(item_id, data);
        return { old_value, new_value: data };
      },
      delete: ({ item_id }: { item_id: string }) => {
        table.delete(item_id);
      },
      list: () => [...table.values()],
      list_groups: () => ["shop"],
    });

    it("read and write the values that their functions store, and are followed like any other", async () => {
      const { service, join } = await testService();
      const client = await join();
      const table = new Map<string, unknown>([["tea", { id: "tea", stock: 4 }]]);
      for (const [name, handler] of Object.entries(overrides(table)))
        await client.registerFunction(`stream::${name}(stock)`, handler as () => unknown);
      const listener = recorder();
      await client.registerFunction("f", listener.handler);
      await client.registerTrigger({
        type: "stream",
        function_id: "f",
        config: { stream_name: "stock" },
      });
      const shop = { streamName: "stock", groupId: "shop" };
      const frames = await service.subscribe(shop);
      const first = (await frames.next()).value as StreamFrame & { kind: "sync" };
      expect(first.items).toMatchObject([{ itemId: "tea", data: { stock: 4 } }]);
      const done = await service.update({
        ...shop,
        itemId: "tea",
        ops: [{ type: "decrement", path: "stock", by: 1 }],
      });
      expect(done).toMatchObject({
        oldValue: { stock: 4 },
        newValue: { stock: 3 },
        created: false,
      });
      expect((await frames.next()).value).toMatchObject({
        kind: "change",
        type: "update",
        data: { stock: 3 },
      });
      expect(table.get("tea")).toEqual({ id: "tea", stock: 3 });
      await listener.received(1);
      await service.delete({ ...shop, itemId: "tea" });
      expect(await service.get({ ...shop, itemId: "tea" })).toBeUndefined();
      expect((await frames.next()).value).toMatchObject({ kind: "change", type: "delete" });
      await frames.return?.();
    });

    it("refuse calls that their own functions make to them, instead of waiting forever", async () => {
      const { service, join } = await testService({ functionLimits: { timeoutMs: 3000 } });
      const client = await join();
      const item = { stream_name: "stock", group_id: "shop", item_id: "tea", data: 1 };
      let inner: unknown;
      await client.registerFunction("stream::set(stock)", async () => {
        inner = await client
          .trigger({ function_id: "stream::set", payload: item })
          .catch((error: unknown) => error);
      });
      const startMs = performance.now();
      await service.set({ streamName: "stock", groupId: "shop", itemId: "tea", data: 2 });
      expect(performance.now() - startMs).toBeLessThan(3000);
      expect(inner).toMatchObject({
        code: "STREAM_SET_ERROR",
        message: expect.stringContaining("CUSTOM_STREAM_UNSUPPORTED") as unknown,
      });
    });

    it("fail while their functions have no provider, instead of using the built-in store", async () => {
      const { service, join } = await testService();
      const client = await join();
      for (const [name, handler] of Object.entries(overrides(new Map())))
        await client.registerFunction(`stream::${name}(stock)`, handler as () => unknown);
      await client.vanish();
      const item = { streamName: "stock", groupId: "shop", itemId: "tea" };
      await expect(service.set({ ...item, data: 1 })).rejects.toMatchObject({
        reason: "STORE_UNAVAILABLE",
      });
      await expect(service.get(item)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    });
  });
}
