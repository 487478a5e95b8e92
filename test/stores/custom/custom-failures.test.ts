import { describe, expect, it } from "vitest";
import { localCoordinator } from "../../../src/coordinators/local/local-coordinator.ts";
import type { StreamAdapter } from "../../../src/service/stream-adapter.ts";
import { type StreamService, createStreamService } from "../../../src/service/stream-service.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { tempFolders } from "../lmdb/temp-folder.ts";
import {
  GROUP,
  TEA,
  gate,
  itemsOf,
  only,
  reasonOf,
  servicesOf,
  table,
  take,
} from "./custom-fixture.ts";

const ops = [{ type: "set", path: "a", value: 1 }] as const;
const payload = { stream_name: "stock", group_id: "shop", item_id: "tea" };

/** Every call that reaches the functions of a custom stream, by function. */
const CALLS: Readonly<Record<string, (service: StreamService) => Promise<unknown>>> = {
  get: (service) => service.get(TEA),
  set: (service) => service.set({ ...TEA, data: 1 }),
  update: (service) => service.update({ ...TEA, ops }),
  delete: (service) => service.delete(TEA),
  list: (service) => service.list(GROUP),
  listGroups: (service) => service.listGroups({ streamName: "stock" }),
};
const ALL = Object.entries(CALLS);
const WRITES = ["set", "update", "delete"];

/** The contents of the built-in store, as read through the service. */
async function within(service: StreamService): Promise<unknown> {
  return (await service.listAll()).streams;
}

describe("a custom stream refuses", () => {
  const services = servicesOf();
  const unsupported = "CUSTOM_STREAM_UNSUPPORTED";

  it.each<[string, (service: StreamService) => Promise<unknown>]>([
    ["a batch", (s) => s.batch({ ...GROUP, mutations: [{ set: { itemId: "tea", data: 1 } }] })],
    ["an expected revision", (s) => s.set({ ...TEA, data: 1, expectedRevision: 0 })],
    ["an expected epoch", (s) => s.set({ ...TEA, data: 1, expectedEpoch: "" })],
    ["them in updates", (s) => s.update({ ...TEA, ops, expectedRevision: 1 })],
    ["and there too", (s) => s.update({ ...TEA, ops, expectedEpoch: "e" })],
    ["them in deletes", (s) => s.delete({ ...TEA, expectedRevision: 1 })],
    ["there as well", (s) => s.delete({ ...TEA, expectedEpoch: "e" })],
    ["an idempotency key", (s) => s.set({ ...TEA, data: 1, idempotencyKey: "k" })],
    ["one of an update", (s) => s.update({ ...TEA, ops, idempotencyKey: "k" })],
    ["one of a delete", (s) => s.delete({ ...TEA, idempotencyKey: "k" })],
  ])("%s, and nothing is written outside (G1)", async (_what, call) => {
    const service = await services();
    const stock = table({ tea: 0 });
    await service.createStream("stock", stock);
    expect(await reasonOf(call(service))).toBe(unsupported);
    expect(stock.calls).toEqual([]);
    expect(stock.rows).toEqual(new Map([["tea", 0]]));
    expect(await within(service)).toEqual([]);
  });

  it("batches even when it has a single function of any kind", async () => {
    const service = await services();
    const mutations = [{ delete: { itemId: "tea" } }];
    await service.createStream("stock", only(table(), "listGroups"));
    expect(await reasonOf(service.batch({ ...GROUP, mutations }))).toBe(unsupported);
    expect(await reasonOf(service.set({ ...TEA, data: 1, expectedRevision: 0 }))).toBe(unsupported);
  });

  it.each(ALL)(
    "a call that its own function makes about it, which would wait for itself: from %s",
    async (method) => {
      const reasons: unknown[] = [];
      const service = await services();
      const asking = (answer: unknown) => async (): Promise<unknown> => {
        for (const [, call] of ALL) reasons.push(await reasonOf(call(service)));
        reasons.push(await reasonOf(service.set({ ...TEA, groupId: "other", data: 1 })));
        reasons.push(await reasonOf(service.subscribe(GROUP)));
        reasons.push(await reasonOf(service.trigger({ function_id: "stream::get", payload })));
        return answer;
      };
      const stock = table({ tea: {} });
      const answers: Readonly<Record<string, unknown>> = { list: [], listGroups: [] };
      await service.createStream("stock", { ...stock, [method]: asking(answers[method]) });
      await CALLS[method]?.(service);
      // The last one is the error of a function, which has a code.
      const expected = [...Array.from({ length: 8 }, () => unsupported), undefined];
      expect(reasons).toEqual(expected);
    },
  );

  it("such a call also through other functions and other custom streams", async () => {
    const service = await services();
    const reasons: unknown[] = [];
    await service.registerFunction("helper", async () => {
      reasons.push(await reasonOf(service.set({ ...TEA, data: 2 })));
    });
    await service.createStream("other", {
      set: () => service.trigger({ function_id: "helper" }),
    });
    const stock = table();
    await service.createStream("stock", {
      ...only(stock, "get"),
      async set() {
        await service.set({ ...TEA, streamName: "other", data: 1 });
      },
    });
    await service.set({ ...TEA, data: 1 });
    expect(reasons).toEqual([unsupported]);
  });

  it("no calls of its functions to other streams, and no calls after they are done", async () => {
    const service = await services();
    const other = { ...TEA, streamName: "ordinary" };
    const stock = table();
    await service.createStream("stock", {
      ...stock,
      async set(input) {
        await service.set({ ...other, data: input.data as string });
        stock.set(input);
      },
    });
    await service.set({ ...TEA, data: "a" });
    expect(await service.get(other)).toMatchObject({ data: "a" });
    await service.set({ ...TEA, data: "b" });
    expect(await service.get(TEA)).toMatchObject({ data: "b" });
  });

  it("no writes of triggers that its changes fire", async () => {
    const service = await services();
    const stock = table();
    const written = gate();
    await service.createStream("stock", stock);
    await service.registerFunction("count", async () => {
      await service.set({ ...GROUP, itemId: "count", data: 1 });
      written.open();
    });
    const config = { stream_name: "stock", item_id: "tea" };
    await service.registerTrigger({ type: "stream", function_id: "count", config });
    await service.set({ ...TEA, data: 1 });
    await written.opened;
    expect(stock.rows.get("count")).toBe(1);
  });
});

describe("a function of a custom stream that fails", () => {
  const services = servicesOf();

  it.each(ALL)("by throwing fails the call, which can be repeated: %s", async (method, call) => {
    const service = await services();
    const stock = table({ tea: {} });
    let broken = true;
    const real = stock[method as keyof StreamAdapter];
    await service.createStream("stock", {
      ...stock,
      [method]: (input: never) => {
        if (broken) throw new Error("secret of the database");
        return real(input);
      },
    });
    const failed = call(service);
    await expect(failed).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE", retryable: true });
    await expect(failed).rejects.not.toThrow("secret");
    expect(await within(service)).toEqual([]);
    broken = false;
    expect(await reasonOf(call(service))).toBe("not refused");
  });

  it.each(ALL)(
    "by a timeout leaves the outcome of a write unknown, but not of a read: %s",
    async (method, call) => {
      const service = await services({ functionLimits: { timeoutMs: 20 } });
      const stock = table({ tea: {} });
      const never = () => new Promise(() => {});
      await service.createStream("stock", { ...stock, [method]: never });
      const expected = WRITES.includes(method) ? "OUTCOME_UNKNOWN" : "STORE_UNAVAILABLE";
      expect(await reasonOf(call(service))).toBe(expected);
      expect(await within(service)).toEqual([]);
    },
  );

  it.each(ALL)(
    "by disconnecting during the call leaves the outcome of a write unknown, but not of a read: %s",
    async (method, call) => {
      const service = await services();
      const begun = gate();
      const stock = table({ tea: {} });
      const never = () => (begun.open(), new Promise(() => {}));
      const registration = await service.createStream("stock", { ...stock, [method]: never });
      const reason = reasonOf(call(service));
      await begun.opened;
      await registration.unregister("lost");
      expect(await reason).toBe(WRITES.includes(method) ? "OUTCOME_UNKNOWN" : "STORE_UNAVAILABLE");
      expect(await within(service)).toEqual([]);
    },
  );

  it("before it wrote leaves the value unchanged, and the next write succeeds", async () => {
    const service = await services();
    const stock = table({ tea: 1 });
    let broken = true;
    await service.createStream("stock", {
      ...stock,
      get(input) {
        if (broken) throw new Error("It cannot be read.");
        return stock.get(input);
      },
    });
    expect(await reasonOf(service.set({ ...TEA, data: 2 }))).toBe("STORE_UNAVAILABLE");
    expect(await reasonOf(service.delete(TEA))).toBe("STORE_UNAVAILABLE");
    expect(stock.rows.get("tea")).toBe(1);
    broken = false;
    expect(await service.set({ ...TEA, data: 3 })).toMatchObject({
      oldValue: 1,
      position: { revision: 1 },
    });
  });

  it("fails a subscription that starts with it", async () => {
    const service = await services();
    const broken = () => {
      throw new Error("It is broken.");
    };
    await service.createStream("stock", { list: broken, get: broken });
    for (const request of [GROUP, TEA])
      expect(await reasonOf(service.subscribe(request))).toBe("STORE_UNAVAILABLE");
  });

  it.each<[string, string, unknown]>([
    ["get", "an object with a key __proto__", JSON.parse('{"__proto__":1}')],
    ["get", "text that is not Unicode", "\ud83d"],
    ["get", "what is too deep", JSON.parse("[".repeat(31) + "]".repeat(31))],
    ["get", "what is too large", "x".repeat(1024 * 1024)],
    ["set", "text", "done"],
    ["set", "true", true],
    ["set", "a list", [1]],
    ["set", "a new value that is none", { new_value: "\ud83d" }],
    ["set", "an old value that is none", { old_value: ["\ud83d"] }],
    ["update", "a number", 1],
    ["update", "a new value that is none", { new_value: JSON.parse('{"__proto__":1}') }],
    ["delete", "a list", []],
    ["delete", "an old value that is none", { old_value: "\ud83d" }],
    ["list", "an object", { tea: 1 }],
    ["list", "a list with a value that is none", [1, "\ud83d"]],
    ["listGroups", "an object", { shop: 1 }],
    ["listGroups", "text", "shop"],
    ["listGroups", "a list of numbers", [1]],
    ["listGroups", "a list with an empty name", ["shop", ""]],
    ["listGroups", "a list with a name that is too long", ["x".repeat(257)]],
  ])(
    "by a result of %s that is %s is an internal error, and JSON_ERROR for functions",
    async (method, _what, answer) => {
      const service = await services();
      const stock = table({ tea: {} });
      await service.createStream("stock", { ...stock, [method]: () => answer });
      const reason = reasonOf(CALLS[method]?.(service) ?? Promise.resolve());
      expect(await reason).toBe("INTERNAL");
      const name = method === "listGroups" ? "list_groups" : method;
      const call = service.trigger({
        function_id: `stream::${name}`,
        payload: { ...payload, data: 1, ops },
      });
      await expect(call).rejects.toMatchObject({ code: "JSON_ERROR" });
      expect(await within(service)).toEqual([]);
    },
  );
});

describe("a custom stream without its provider", () => {
  const services = servicesOf();
  const tempFolder = tempFolders();

  it("after a disconnect fails its calls instead of writing into the built-in store", async () => {
    const service = await services();
    const stock = table();
    const registration = await service.createStream("stock", stock);
    const frames = await service.subscribe(GROUP);
    await service.set({ ...TEA, data: 1 });
    await registration.unregister("lost");
    for (const [, call] of ALL) expect(await reasonOf(call(service))).toBe("STORE_UNAVAILABLE");
    const mutations = [{ set: { itemId: "tea", data: 1 } }];
    expect(await reasonOf(service.batch({ ...GROUP, mutations }))).toBe(
      "CUSTOM_STREAM_UNSUPPORTED",
    );
    expect(await reasonOf(service.subscribe(GROUP))).toBe("STORE_UNAVAILABLE");
    expect(stock.rows).toEqual(new Map([["tea", 1]]));
    // The provider returns, and calls succeed again.
    const again = await service.createStream("stock", stock);
    expect(await service.set({ ...TEA, data: 2 })).toMatchObject({
      oldValue: 1,
      position: { revision: 2 },
    });
    expect((await take(frames, 3)).slice(1)).toMatchObject([
      { type: "create", data: 1, position: { revision: 1 } },
      { type: "update", data: 2, position: { revision: 2 } },
    ]);
    await again.unregister("withdrawn");
  });

  it("after a withdrawal is an ordinary stream again, with the values written through the service", async () => {
    const service = await services();
    const stock = table({ unseen: 1 });
    const registration = await service.createStream("stock", stock);
    await service.set({ ...TEA, data: 1 });
    await registration.unregister();
    await registration.unregister("lost");
    stock.calls.length = 0;
    expect(await itemsOf(service)).toEqual([["tea", 1, 1]]);
    expect(await service.set({ ...TEA, data: 2, expectedRevision: 1 })).toMatchObject({
      oldValue: 1,
      position: { revision: 2 },
    });
    const mutations = [{ set: { itemId: "milk", data: 1 } }];
    expect(await service.batch({ ...GROUP, mutations })).toMatchObject({
      position: { revision: 3 },
    });
    expect(stock.calls).toEqual([]);
    expect(stock.rows.get("tea")).toBe(1);
  });

  it("stays custom while another provider remains; both share the calls until then", async () => {
    const service = await services();
    const stock = table({ tea: 4 });
    const first = await service.createStream("stock", stock);
    const second = await service.createStream("stock", stock);
    await first.unregister();
    expect(await service.get(TEA)).toMatchObject({ data: 4, revision: 0 });
    await second.unregister();
    expect(await service.get(TEA)).toBeUndefined();
  });

  it("after a disconnect stays custom across a restart on disk, until it is withdrawn (G6)", async () => {
    const folder = await tempFolder();
    const start = async () => {
      const store = await openLmdbStore({ folder, sweepIntervalMs: 0 });
      const coordinator = localCoordinator({ serviceState: store.serviceState });
      return createStreamService({ store, coordinator });
    };
    const stock = table();
    const first = await start();
    await first.createStream("stock", stock);
    await first.set({ ...TEA, data: 1 });
    await first.close();
    const second = await start();
    for (const [, call] of ALL) expect(await reasonOf(call(second))).toBe("STORE_UNAVAILABLE");
    const registration = await second.createStream("stock", stock);
    expect(await second.set({ ...TEA, data: 2 })).toMatchObject({
      oldValue: 1,
      position: { revision: 2 },
    });
    await registration.unregister();
    await second.close();
    const third = await start();
    expect(await third.set({ ...TEA, data: 3, expectedRevision: 2 })).toMatchObject({
      oldValue: 2,
    });
    expect(stock.rows.get("tea")).toBe(2);
    await third.close();
  });
});
