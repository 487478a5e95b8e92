import { SUBSCRIBER } from "../support/gates/subscriber.ts";
import { describe, expect, it } from "vitest";
import type { JoinPayload, ReadPayload, TriggerRequest } from "millrace";
import { localCoordinator } from "../../src/coordinators/local/local-coordinator.ts";
import type { EngineOptions } from "../../src/service/engine.ts";
import type { GroupRead, JoinedSubscription } from "../../src/triggers/payloads.ts";
import { newCalls } from "../support/gates/calls.ts";
import { openGatedEngine } from "../support/gates/gated-engine.ts";

const REFUSED = { code: "permission_denied", reason: "JOIN_REFUSED" };
const GATE: TriggerRequest = { type: "stream:join", function_id: "gate" };
const CALLER = { user: "ann", context: '{"a":1}', connection: { connectionId: "c1" } };
const GROUP: GroupRead = { streamName: "rooms", groupId: "attic", ...CALLER };
const ITEM: GroupRead = { ...GROUP, itemId: "lamp" };
const JOIN: JoinedSubscription = { ...GROUP, itemId: undefined, subscriptionId: "s1" };

/** An engine with a gate whose decision the test makes, and a clock that it moves. */
async function open(options: EngineOptions = {}) {
  const time = { ms: 1000 };
  const gated = openGatedEngine({ now: () => time.ms, ...options });
  const calls = newCalls<JoinPayload | ReadPayload>();
  const decision: { of: (payload: JoinPayload | ReadPayload) => unknown } = { of: () => null };
  await gated.service.registerFunction("gate", (payload: JoinPayload | ReadPayload) => {
    calls.record(payload);
    return decision.of(payload);
  });
  const gate = await gated.service.registerTrigger(GATE);
  return { ...gated, time, calls, decision, gate };
}

describe("a read of a user", () => {
  it.each([
    ["a group", GROUP, null],
    ["an item", ITEM, "lamp"],
  ])("of %s asks the join gates with the complete payload", async (_, read, id) => {
    const { gates, calls } = await open();
    await gates.admitRead(read);
    expect(calls.all).toStrictEqual([
      {
        action: "read",
        stream_name: "rooms",
        group_id: "attic",
        id,
        user: "ann",
        context: { a: 1 },
        connection_id: "c1",
      },
    ]);
  });

  it("is refused when a gate refuses it, for a reason that only the operator sees (G8)", async () => {
    const { gates, decision, problems } = await open();
    decision.of = () => ({ unauthorized: true });
    await expect(gates.admitRead(ITEM)).rejects.toMatchObject({
      ...REFUSED,
      retryable: false,
      message: expect.stringMatching(/^The read was refused/) as string,
    });
    expect(problems).toMatchObject([{ kind: "join_refused", functionId: "gate" }]);
    decision.of = () => null;
    await gates.admitRead(ITEM);
  });

  it("is allowed at once when there is no gate, even beside a listener", async () => {
    const { gates, gate, calls, service } = await open();
    await gate.unregister();
    await service.registerTrigger({ ...GATE, config: { gate: false } });
    expect(gates.admitRead(ITEM)).toBeUndefined();
    expect(calls.all).toEqual([]);
  });

  it("calls no listeners", async () => {
    const { gates, service } = await open();
    const received = newCalls<unknown>();
    await service.registerFunction("listener", received.record);
    const listener = { ...GATE, function_id: "listener", config: { gate: false } };
    await service.registerTrigger(listener);
    await gates.admitRead(ITEM);
    await gates.recheck(JOIN);
    // A join calls it, so it would have been called before.
    const notifyJoined = await gates.admit(JOIN);
    await notifyJoined();
    expect(received.all).toMatchObject([{ action: "subscribe" }]);
  });

  it("asks the gates again after 10 s", async () => {
    const { gates, calls, time } = await open();
    await gates.admitRead(ITEM);
    time.ms += 9999;
    expect(gates.admitRead(ITEM)).toBeUndefined();
    time.ms += 1;
    await gates.admitRead(ITEM);
    expect(calls.all).toHaveLength(2);
  });

  it("does not ask while the caller follows the group, and asks once it has left", async () => {
    const { gates, admissions, calls, time } = await open();
    const admission = await admissions.admit(JOIN, SUBSCRIBER);
    time.ms += 60_000;
    expect(gates.admitRead(ITEM)).toBeUndefined();
    expect(gates.admitRead(GROUP)).toBeUndefined();
    admission.leave();
    await gates.admitRead(ITEM);
    expect(calls.all.map(({ action }) => action)).toEqual(["subscribe", "read"]);
  });

  it("is not covered by a subscription that no gate was asked about", async () => {
    const { gates, admissions, calls } = await open();
    await admissions.admit(JOIN, SUBSCRIBER, { asksGates: false });
    await gates.admitRead(GROUP);
    expect(calls.all.map(({ action }) => action)).toEqual(["read"]);
  });

  it("is not covered by a refused subscription", async () => {
    const { gates, admissions, calls, decision } = await open();
    decision.of = ({ action }) => ({ unauthorized: action === "subscribe" });
    await expect(admissions.admit(JOIN, SUBSCRIBER)).rejects.toMatchObject(REFUSED);
    await gates.admitRead(GROUP);
    expect(calls.all.map(({ action }) => action)).toEqual(["subscribe", "read"]);
  });

  it("asks again once a gate is registered, changed or withdrawn", async () => {
    const { gates, calls, service, gate } = await open();
    await gates.admitRead(ITEM);
    await service.registerFunction("second", () => ({ unauthorized: true }));
    expect(gates.admitRead(ITEM)).toBeUndefined();
    const second = await service.registerTrigger({ ...GATE, function_id: "second" });
    await expect(gates.admitRead(ITEM)).rejects.toMatchObject(REFUSED);
    await second.unregister();
    await gates.admitRead(ITEM);
    expect(calls.all).toHaveLength(3);
    await gate.unregister();
    await service.registerTrigger(GATE);
    await gates.admitRead(ITEM);
    expect(calls.all).toHaveLength(4);
  });

  it("asks again once the answers are forgotten", async () => {
    const { gates, calls } = await open();
    await gates.admitRead(ITEM);
    gates.forgetReads();
    await gates.admitRead(ITEM);
    expect(calls.all).toHaveLength(2);
  });

  it("shares the question of a concurrent read", async () => {
    const { gates, calls } = await open();
    await Promise.all([gates.admitRead(ITEM), gates.admitRead(ITEM), gates.admitRead(ITEM)]);
    expect(calls.all).toHaveLength(1);
  });

  it("may be tried again when the gate has no provider or takes too long (G8)", async () => {
    const { gates, service, decision } = await open({ gateTimeoutMs: 100 });
    decision.of = () => new Promise(() => {});
    await expect(gates.admitRead(ITEM)).rejects.toMatchObject({ ...REFUSED, retryable: true });
    decision.of = () => null;
    await service.registerTrigger({ ...GATE, function_id: "absent" });
    await expect(gates.admitRead(ITEM)).rejects.toMatchObject({ ...REFUSED, retryable: true });
  });

  it("is refused while a gate is required and none is registered (G8)", async () => {
    const { gates, gate } = await open({ joinGate: "required" });
    await gates.admitRead(ITEM);
    await gate.unregister();
    await expect(gates.admitRead(ITEM)).rejects.toMatchObject({ ...REFUSED, retryable: true });
  });

  it("is refused while there may be gates that this process does not know (G8)", async () => {
    const coordinator = localCoordinator();
    let isCurrent = true;
    const registry = { ...coordinator.registry, isCurrent: () => isCurrent };
    const { gates } = await open({ coordinator: { ...coordinator, registry } });
    await gates.admitRead(ITEM);
    isCurrent = false;
    await expect(gates.admitRead(ITEM)).rejects.toMatchObject({ ...REFUSED, retryable: true });
  });
});

describe("a recheck", () => {
  it("asks the join gates about the subscription, and says that it is one", async () => {
    const { gates, calls } = await open();
    await gates.recheck({ ...JOIN, itemId: "lamp" });
    expect(calls.all).toStrictEqual([
      {
        action: "subscribe",
        recheck: true,
        subscription_id: "s1",
        stream_name: "rooms",
        group_id: "attic",
        id: "lamp",
        user: "ann",
        context: { a: 1 },
        connection_id: "c1",
      },
    ]);
  });

  it("is refused when a gate refuses, and retryable when a gate fails to decide (G8)", async () => {
    const { gates, decision, service } = await open();
    decision.of = () => ({ unauthorized: true });
    await expect(gates.recheck(JOIN)).rejects.toMatchObject({ ...REFUSED, retryable: false });
    decision.of = () => null;
    await service.registerTrigger({ ...GATE, function_id: "absent" });
    await expect(gates.recheck(JOIN)).rejects.toMatchObject({ ...REFUSED, retryable: true });
  });
});

describe("a subscription of a caller that gates do not apply to", () => {
  it("starts whatever the gates decide, even when one is required, and has join and leave", async () => {
    const { admissions, calls, decision, service } = await open({ joinGate: "required" });
    decision.of = () => ({ unauthorized: true });
    const [joins, leaves] = [newCalls<JoinPayload>(), newCalls<unknown>()];
    await service.registerFunction("joins", joins.record);
    await service.registerFunction("leaves", leaves.record);
    await service.registerTrigger({ ...GATE, function_id: "joins", config: { gate: false } });
    await service.registerTrigger({ type: "stream:leave", function_id: "leaves" });
    await expect(admissions.admit(JOIN, SUBSCRIBER)).rejects.toMatchObject(REFUSED);
    const admission = await admissions.admit(JOIN, SUBSCRIBER, { asksGates: false });
    const [joined] = await joins.count(1);
    admission.leave();
    const { action, ...left } = joined as JoinPayload;
    expect(action).toBe("subscribe");
    expect(await leaves.count(1)).toEqual([left]);
    expect(calls.all).toHaveLength(1);
  });

  it("starts while the registry cannot be reached, and where a gate is required", async () => {
    const coordinator = localCoordinator();
    const registry = { ...coordinator.registry, isCurrent: () => false };
    const { gates } = openGatedEngine({
      joinGate: "required",
      coordinator: { ...coordinator, registry },
    });
    await expect(gates.admit(JOIN)).rejects.toMatchObject({ ...REFUSED, retryable: true });
    await gates.admit(JOIN, { asksGates: false });
  });
});
