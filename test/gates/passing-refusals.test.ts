import { describe, expect, it, onTestFinished } from "vitest";
import { type Registration, memoryStore } from "millrace";
import { localCoordinator } from "../../src/coordinators/local/local-coordinator.ts";
import { type JoinData, connect } from "../bridge/line.ts";
import { type GatedServer, openGatedServer } from "../support/gates/gated-server.ts";

/*
 * A client of the original protocol joins again only after its socket has closed. A join that fails
 * for a temporary reason closes the socket; one that a gate refuses does not.
 */

const TRY_AGAIN_LATER = 1013;
const GROUP = { streamName: "rooms", groupId: "g" };
const JOIN: JoinData = { ...GROUP, subscriptionId: "s1" };
const never = () => new Promise(() => {});

/** A server whose joins can be made to fail. */
interface Failing {
  readonly gated: GatedServer;
  /** Runs after the gate has been called. Absent: the gate is not called. */
  readonly during?: () => Promise<void>;
}

async function open(options: Parameters<typeof openGatedServer>[0] = {}): Promise<GatedServer> {
  const gated = await openGatedServer({ gateTimeoutMs: 5000, settleTimeoutMs: 50, ...options });
  onTestFinished(() => gated.server.close());
  return gated;
}

/** A server with a second gate. */
async function withGate(gate?: () => unknown, gateTimeoutMs = 5000) {
  const gated = await open({ gateTimeoutMs });
  let provider: Registration | undefined;
  if (gate !== undefined) provider = await gated.service.registerFunction("second", gate);
  await gated.service.registerTrigger({ type: "stream:join", function_id: "second" });
  return { gated, provider };
}

const PASSING: Readonly<Record<string, () => Promise<Failing>>> = {
  "a gate has no provider": async () => withGate(),
  "a gate takes too long": async () => withGate(never, 100),
  async "the provider of a gate disconnects during the call"() {
    const { gated, provider } = await withGate(never);
    return { gated, during: async () => provider?.unregister("lost") };
  },
  async "no gate is registered and one is required"() {
    const gated = await open({ joinGate: "required" });
    await gated.gate.unregister();
    return { gated };
  },
  async "the registry of functions cannot be reached"() {
    const coordinator = localCoordinator();
    const registry = { ...coordinator.registry, isCurrent: () => false };
    const gated = await open({
      store: memoryStore(),
      coordinator: { ...coordinator, registry },
    });
    return { gated };
  },
  async "the store is unavailable"() {
    const list = () => {
      throw new Error("unavailable");
    };
    const gated = await open({ setup: (service) => void service.createStream("rooms", { list }) });
    return { gated };
  },
};

const REFUSALS: Readonly<Record<string, () => unknown>> = {
  "returns unauthorized: true": () => ({ unauthorized: true }),
  "returns nonsense": () => "no",
  throws: () => {
    throw new Error("no");
  },
};

describe("a socket that used no extension", () => {
  it.each(Object.entries(PASSING))(
    "is closed with 1013 after the frame when %s",
    async (_, fail) => {
      const { gated, during } = await fail();
      const line = await connect(gated.url, "/");
      line.join(JOIN);
      if (during !== undefined) await gated.joins.count(1);
      await during?.();
      expect(await line.closed).toBe(TRY_AGAIN_LATER);
      expect(line.frames).toMatchObject([{ subscriptionId: "s1" }]);
      expect(["unauthorized", "error"]).toContain(line.frames[0]?.event.type);
    },
  );

  it("is closed with 1013 when its URL's subscription fails", async () => {
    const { gated } = await withGate();
    const line = await connect(gated.url, "/stream/rooms/g");
    expect(await line.closed).toBe(TRY_AGAIN_LATER);
    expect(line.frames).toMatchObject([{ ...GROUP, event: { type: "unauthorized" } }]);
  });

  it("leads to the leaves of its other subscriptions", async () => {
    const { gated } = await withGate();
    await gated.service.registerFunction("second", () => undefined);
    const line = await connect(gated.url, "/");
    line.join({ ...JOIN, id: "a" });
    await line.count(1);
    await gated.service.createStream("broken", {
      list() {
        throw new Error("unavailable");
      },
    });
    line.join({ ...JOIN, streamName: "broken", subscriptionId: "s2" });
    expect(await line.closed).toBe(TRY_AGAIN_LATER);
    await gated.leaves.until("both leaves", (all) => all.length === 2);
  });

  it.each(Object.entries(REFUSALS))("stays open when a gate %s", async (_, gate) => {
    const { gated } = await withGate(gate);
    const line = await connect(gated.url, "/stream/rooms/g");
    line.join(JOIN);
    await line.count(2);
    line.join({ ...JOIN, groupId: "" });
    expect((await line.count(3)).map(({ event }) => event.reason ?? event.type)).toEqual([
      "unauthorized",
      "unauthorized",
      "NAME_INVALID",
    ]);
    expect(line.socket.readyState).toBe(line.socket.OPEN);
  });
});

describe("a socket that used an extension", () => {
  it.each([
    ["resume", { resume: { epoch: "", revision: 0 } }],
    ["heartbeat", { heartbeat: true }],
    ["parts", { parts: true }],
  ])("(%s) stays open, and its joins succeed once the reason has passed", async (_, extension) => {
    const { gated } = await withGate();
    const line = await connect(gated.url, "/");
    line.join({ ...JOIN, ...extension });
    await line.count(1);
    // Once used, an extension applies to all joins of the socket.
    line.join({ ...JOIN, subscriptionId: "s2" });
    await line.count(2);
    await gated.service.registerFunction("second", () => undefined);
    line.join({ ...JOIN, subscriptionId: "s3" });
    expect((await line.count(3)).map(({ event }) => event.type)).toEqual([
      "unauthorized",
      "unauthorized",
      "sync",
    ]);
  });

  it("is closed with 1013 when it only declined extensions", async () => {
    const { gated } = await withGate();
    const line = await connect(gated.url, "/");
    line.join({ ...JOIN, heartbeat: false, parts: false });
    expect(await line.closed).toBe(TRY_AGAIN_LATER);
  });
});
