import { expect, it, onTestFinished } from "vitest";
import { memoryStore } from "millrace";
import { createServer } from "millrace/server";
import type { Store } from "../../src/core/store.ts";
import type { JoinPayload } from "../support/gates/gated-server.ts";
import { newCalls, promised } from "../support/gates/calls.ts";
import { openClient, watchGroup } from "../support/lifetimes/socket-client.ts";
import { boundSuite } from "./suite/bound.suite.ts";

/** A store of the embedding program, around one of the service. */
function customStore(before: () => Promise<void> = async () => {}): Store {
  const inner = memoryStore();
  return {
    ...inner,
    async run(group, commits) {
      const binds = commits.some(({ mutations }) =>
        mutations.some((each) => "lifetime" in each && each.lifetime?.connection !== undefined),
      );
      if (binds) await before();
      return inner.run(group, commits);
    },
  };
}

boundSuite("in a custom store", false, async () => ({
  store: customStore(),
  cleanUp: async () => {},
}));

const group = { streamName: "cursors", groupId: "g" };

it.each([
  ["closed", 60_000],
  ["cut", 100],
] as const)(
  "an item whose write is under way when its connection is %s, and over, is deleted as soon as it is written",
  async (how, presenceTimeoutMs) => {
    const { promise, resolve } = promised();
    const started = promised();
    const leaves = newCalls<JoinPayload>();
    const server = await createServer({
      port: 0,
      store: customStore(async () => {
        started.resolve();
        await promise;
      }),
      presenceTimeoutMs,
      async setup(service) {
        await service.registerFunction("leaves", (payload: JoinPayload) => leaves.record(payload));
        await service.registerTrigger({ type: "stream:leave", function_id: "leaves" });
      },
    });
    onTestFinished(() => server.close());
    const watch = await watchGroup(server.url, group);
    const ann = await openClient(server.url);
    ann.line.join({ ...group, subscriptionId: "ann" });
    ann.sendCall("Set", { ...group, itemId: "a", data: 1, whileConnected: true });
    await started.promise;
    if (how === "closed") ann.line.socket.close();
    else ann.line.socket.terminate();
    // The session is over.
    await leaves.until("its leave", (all) => all.some((each) => each.subscription_id === "ann"));
    expect(watch.ids()).toEqual([]);
    resolve();
    await watch.untilDeleted("a");
    expect(watch.ids()).toEqual([]);
    expect(watch.causes("a")).toEqual(["disconnected"]);
  },
);
