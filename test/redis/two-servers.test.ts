import { expect, it, onTestFinished } from "vitest";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import { StreamError, type StreamService } from "millrace";
import { recorder } from "../support/hosts/test-service.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";

const group = { streamName: "chat", groupId: "lobby" };

/** Two servers over one Redis, like two machines. */
async function twoServers(
  options: Partial<ServerOptions> = {},
): Promise<readonly [StreamService, StreamService]> {
  const { url } = await sharedRedis();
  const keyPrefix = randomPrefix();
  const open = async (): Promise<Server> => {
    const server = await createServer({
      port: 0,
      store: { kind: "redis", url, keyPrefix },
      settleTimeoutMs: 300,
      ...options,
    });
    onTestFinished(() => server.close());
    return server;
  };
  const [one, two] = await Promise.all([open(), open()]);
  return [one.service, two.service];
}

const reasonOf = async (call: Promise<unknown>) =>
  call.then(
    () => "allowed",
    (error: unknown) => StreamError.from(error).reason,
  );

describeWithRedis("two servers over one Redis", () => {
  it("deliver writes to each other's subscribers, in one order (G2, G10)", async () => {
    const services = await twoServers();
    const subscriptions = await Promise.all(services.map((service) => service.subscribe(group)));
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const [here, there] = i % 2 === 0 ? services : [services[1], services[0]];
        const { position } = await here.set({ ...group, itemId: `i${i % 7}`, data: i });
        const { items } = await there.list(group);
        expect(items.some(({ revision }) => revision >= (position?.revision ?? 0))).toBe(true);
      }),
    );
    const histories = await Promise.all(
      subscriptions.map(async (subscription) => {
        const changes: unknown[][] = [];
        for await (const frame of subscription) {
          if (frame.kind === "change")
            changes.push([frame.position.revision, frame.itemId, frame.data]);
          if (changes.length === 40) return changes;
        }
        return changes;
      }),
    );
    expect(histories[0]).toEqual(histories[1]);
    expect(histories[0]?.map(([revision]) => revision)).toEqual(
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
  });

  it("fire a trigger of one server for writes at the other, once and in order", async () => {
    const [one, two] = await twoServers();
    const { calls, handler, received } = recorder<{ revision: number; id: string }>();
    await one.registerFunction("log", handler);
    await one.registerTrigger({
      type: "stream",
      function_id: "log",
      config: { stream_name: "chat" },
    });
    for (let i = 0; i < 20; i++) {
      const service = i % 2 === 0 ? two : one;
      await service.set({ ...group, itemId: `i${i}`, data: i });
    }
    await received(20);
    expect(calls.map(({ revision }) => revision)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
  });

  it("call each other's functions, and receive their results and errors", async () => {
    const [one, two] = await twoServers();
    await one.registerFunction("double", ({ n }: { n: number }) => ({ n: n * 2 }));
    await one.registerFunction("failing", () => {
      throw new Error("Not today.");
    });
    expect(await two.trigger({ function_id: "double", payload: { n: 21 } })).toEqual({ n: 42 });
    await expect(two.trigger({ function_id: "failing" })).rejects.toMatchObject({
      code: "invocation_failed",
      message: "Not today.",
    });
    await expect(two.trigger({ function_id: "nobody" })).rejects.toMatchObject({
      code: "function_not_found",
    });
  });

  it("enforce a gate of one at both, as soon as it is registered (G8)", async () => {
    const [one, two] = await twoServers();
    expect(
      await reasonOf(two.subscribe(group).then((subscription) => subscription.return?.())),
    ).toBe("allowed");
    await one.registerFunction("gate", ({ group_id: id }: { group_id: string }) => ({
      unauthorized: id === "lobby",
    }));
    await one.registerTrigger({ type: "stream:join", function_id: "gate" });
    expect(await reasonOf(two.subscribe(group))).toBe("JOIN_REFUSED");
    expect(await reasonOf(one.subscribe(group))).toBe("JOIN_REFUSED");
    expect(await reasonOf(two.subscribe({ ...group, groupId: "open" }))).toBe("allowed");
  });

  it("deliver leaves of each other's subscriptions, once", async () => {
    const [one, two] = await twoServers();
    const { calls, handler, received } = recorder<{ group_id: string }>();
    await one.registerFunction("left", handler);
    await one.registerTrigger({ type: "stream:leave", function_id: "left" });
    const subscriptions = await Promise.all(
      [one, two, two].map((service, i) => service.subscribe({ ...group, groupId: `g${i}` })),
    );
    for (const subscription of subscriptions) await subscription.return?.();
    await received(3);
    expect(calls.map(({ group_id: id }) => id).toSorted()).toEqual(["g0", "g1", "g2"]);
  });

  it("serve a custom stream of one at both", async () => {
    const [one, two] = await twoServers();
    const values = new Map<string, unknown>();
    await one.createStream("outside", {
      get: ({ item_id: id }) => values.get(id),
      set: ({ item_id: id, data }) => {
        const old = values.get(id) ?? null;
        values.set(id, data);
        return { old_value: old, new_value: data };
      },
      delete: ({ item_id: id }) => {
        const old = values.get(id) ?? null;
        values.delete(id);
        return { old_value: old };
      },
      list: () => Array.from(values.values()),
      listGroups: () => ["g"],
    });
    const place = { streamName: "outside", groupId: "g" };
    const subscription = await one.subscribe(place);
    await two.set({ ...place, itemId: "a", data: { id: "a", n: 1 } });
    expect(values.get("a")).toEqual({ id: "a", n: 1 });
    expect((await two.get({ ...place, itemId: "a" }))?.data).toEqual({ id: "a", n: 1 });
    for await (const frame of subscription) {
      if (frame.kind !== "change") continue;
      expect([frame.itemId, frame.data]).toEqual(["a", { id: "a", n: 1 }]);
      break;
    }
  });
});
