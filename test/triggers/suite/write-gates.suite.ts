import { describe, expect, it } from "vitest";
import { type GateOptions, Value, type WritePayload } from "millrace";
import { localCoordinator } from "../../../src/coordinators/local/local-coordinator.ts";
import { gatesOf } from "../../support/gates/gates-of.ts";
import type { Host } from "../../support/hosts/host.ts";
import { latch, recorder, testServiceOn } from "../../support/hosts/test-service.ts";

const ANN = { user: "ann", context: '{"role":"member"}', connection: { connectionId: "c1" } };
const MESSAGE = { streamName: "chat", groupId: "lobby", itemId: "m1" };
const GATE = { type: "stream:write", function_id: "may-write", config: { stream_name: "chat" } };
const REFUSED = { code: "permission_denied", reason: "WRITE_REFUSED" };

/** Write gates whose functions run in a host. */
export function describeWriteGates(host: Host): void {
  const testService = testServiceOn(host);
  const open = async (options: GateOptions = {}) => {
    const coordinator = localCoordinator();
    const { service, join } = await testService({ coordinator });
    const { gates, refusals } = gatesOf(coordinator, service, options);
    const set = (data: unknown, more: object = {}) =>
      Promise.resolve(gates.admitWrite("set", { ...MESSAGE, data: Value.of(data), ...more }, ANN));
    return { service, join, gates, refusals, set };
  };

  describe("write gates", () => {
    it("receive the write and its caller, and may replace its data", async () => {
      const { join, set, refusals } = await open();
      const client = await join();
      const writes = recorder<WritePayload>();
      await client.registerFunction("may-write", (payload: WritePayload, context) => {
        writes.handler(payload, context);
        return { data: { text: payload.data, from: payload.user } };
      });
      await client.registerTrigger(GATE);
      const admitted = await set("hello", { expectedRevision: 3 });
      expect(admitted).toMatchObject({ ...MESSAGE, expectedRevision: 3 });
      expect(admitted.data?.json()).toEqual({ text: "hello", from: "ann" });
      expect(writes.calls).toEqual([
        {
          action: "set",
          stream_name: "chat",
          group_id: "lobby",
          id: "m1",
          data: "hello",
          user: "ann",
          context: { role: "member" },
          connection_id: "c1",
        },
      ]);
      expect(refusals).toEqual([]);
    });

    it("receive the mutations of a batch, and may replace their content", async () => {
      const { join, gates } = await open();
      const client = await join();
      const writes = recorder<WritePayload>();
      await client.registerFunction("may-write", (payload: WritePayload, context) => {
        writes.handler(payload, context);
        const [set, update, remove] = payload.mutations ?? [];
        const ops = [{ type: "set", path: "by", value: payload.user }];
        return { mutations: [{ ...set, data: "clean" }, { ...update, ops }, remove] };
      });
      await client.registerTrigger({ ...GATE, config: { ...GATE.config, item_id: "b" } });
      const mutations = [
        { kind: "set", itemId: "a", data: Value.of("dirty"), expectedRevision: 1 },
        { kind: "update", itemId: "b", ops: [{ type: "increment", path: "n", by: 1 }] },
        { kind: "delete", itemId: "c", expectedRevision: 2 },
      ] as const;
      const batch = { streamName: "chat", groupId: "lobby", mutations };
      const admitted = await gates.admitWrite("batch", batch, ANN);
      expect(admitted.mutations).toEqual([
        { ...mutations[0], data: Value.of("clean") },
        { ...mutations[1], ops: [{ type: "set", path: "by", value: Value.of("ann") }] },
        mutations[2],
      ]);
      expect(writes.calls).toMatchObject([
        {
          action: "batch",
          id: null,
          mutations: [
            { kind: "set", id: "a", data: "dirty" },
            { kind: "update", id: "b", ops: [{ type: "increment", path: "n", by: 1 }] },
            { kind: "delete", id: "c" },
          ],
        },
      ]);
    });

    it.each([
      ["unauthorized: true", { unauthorized: true }],
      ["true", true],
      ["a number", 0],
      ["a string", "ok"],
      ["an array", []],
      ["an object with an error", { error: "forbidden" }],
      ["mutations of a set", { mutations: [] }],
    ])("refuse when they return %s (G8)", async (_what, answer) => {
      const { join, set, refusals } = await open();
      const client = await join();
      await client.registerFunction("may-write", () => answer);
      await client.registerTrigger(GATE);
      await expect(set(1)).rejects.toMatchObject({ ...REFUSED, retryable: false });
      expect(refusals).toMatchObject([{ kind: "write_refused", gate: "may-write" }]);
    });

    it("refuse when they throw, hang or disconnect during the call, and without a provider (G8)", async () => {
      const { join, set } = await open({ gateTimeoutMs: 150 });
      const client = await join();
      const refused = async (retryable: boolean) =>
        expect(set(1)).rejects.toMatchObject({ ...REFUSED, retryable });
      const throwing = await client.registerFunction("may-write", () => {
        throw new Error("no idea");
      });
      await client.registerTrigger(GATE);
      await refused(false);
      await throwing.unregister();
      await refused(true);
      const hanging = await client.registerFunction("may-write", () => new Promise(() => {}));
      await refused(true);
      await hanging.unregister();
      const doomed = await join();
      const called = latch();
      await doomed.registerFunction("may-write", () => {
        called.open();
        return new Promise(() => {});
      });
      const attempt = refused(true);
      await called.opened;
      await doomed.vanish();
      await attempt;
      await client.vanish();
      await refused(true);
      // The gate has stayed registered; a new provider serves it.
      const back = await join();
      await back.registerFunction("may-write", () => null);
      expect((await set(1)).data?.json()).toBe(1);
    });

    it("are skipped only when their condition returns false", async () => {
      const { join, set } = await open();
      const client = await join();
      await client.registerFunction("may-write", () => ({ unauthorized: true }));
      await client.registerFunction("is-guarded", ({ data }: WritePayload) => {
        if (data === "odd") throw new Error("no idea");
        return data === "guarded";
      });
      const config = { ...GATE.config, condition_function_id: "is-guarded" };
      await client.registerTrigger({ ...GATE, config });
      await expect(set("guarded")).rejects.toMatchObject(REFUSED);
      await expect(set("odd")).rejects.toMatchObject(REFUSED);
      expect((await set("free")).data?.json()).toBe("free");
    });

    it("do not fire after a write", async () => {
      const { service, join } = await open();
      const client = await join();
      const [gate, log] = [recorder(), recorder()];
      await client.registerFunction("may-write", gate.handler);
      await client.registerFunction("log", log.handler);
      await client.registerTrigger(GATE);
      await client.registerTrigger({ ...GATE, type: "stream", function_id: "log" });
      await service.set({ ...MESSAGE, data: 1 });
      await log.received(1);
      expect(gate.calls).toEqual([]);
    });
  });
}
