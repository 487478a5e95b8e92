import { describe, expect, it } from "vitest";
import type { SubscriptionLease } from "../../src/core/coordinator.ts";
import { StreamError } from "../../src/core/errors.ts";
import { LOCAL } from "../../src/rights/caller.ts";
import {
  type Admission,
  type SubscriptionHolder,
  createAdmissions,
} from "../../src/triggers/admissions.ts";
import { ReadAdmissions } from "../../src/triggers/read-admissions.ts";

const CALLER = { ...LOCAL, connection: { connectionId: "c" } };
const JOINED = {
  ...CALLER,
  subscriptionId: "s1",
  streamName: "s",
  groupId: "g",
  itemId: undefined,
};

/** Admissions whose leases are recorded when the test says so. */
function open() {
  const events: string[] = [];
  let record: (error?: Error) => void = () => {};
  const gates = {
    hasListeners: () => true,
    admit: async () => async () => {
      events.push("join");
    },
  };
  const leaves = {
    isWanted: true,
    deliver: (_: SubscriptionLease, isLeased: boolean) =>
      void events.push(isLeased ? "leave" : "leave without a lease"),
    queueOf: () => undefined,
    review() {},
    async whenDelivered() {},
    async close() {},
  };
  const leases = {
    hold: () =>
      new Promise<void>((resolve, reject) => {
        events.push("lease");
        record = (error) => (error === undefined ? resolve() : reject(error));
      }),
    async release() {},
    detach: async () => true,
    onOrphan: () => () => {},
  };
  const reads = new ReadAdmissions(() => 0);
  const admissions = createAdmissions(gates, reads, leaves, leases, () => "lease");
  const holder: SubscriptionHolder = {
    door: "library",
    address: "",
    caller: CALLER,
    positionOf: () => undefined,
    end: (admission: Admission) => admission.leave(),
  };
  return {
    events,
    admissions,
    admit: () => admissions.admit(JOINED, holder),
    recorded: (error?: Error) => record(error),
  };
}

const ENDED = new StreamError("SUBSCRIPTION_ENDED", "The subscription was ended.");

describe("an admission", () => {
  it("reports the join when its lease is recorded, so that each reported join gets its leave", async () => {
    const { events, admit, recorded } = open();
    const admitting = admit();
    await expect.poll(() => events).toEqual(["lease"]);
    recorded();
    const admission = await admitting;
    expect(events).toEqual(["lease", "join"]);
    admission.leave();
    await expect.poll(() => events).toEqual(["lease", "join", "leave"]);
  });

  it("has a join and a leave when its lease cannot be recorded", async () => {
    const { events, admissions, admit, recorded } = open();
    const admitting = admit();
    await expect.poll(() => events).toEqual(["lease"]);
    recorded(new StreamError("STORE_UNAVAILABLE", "Redis is gone."));
    await expect(admitting).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await admissions.whenQueued();
    expect(events).toEqual(["lease", "join", "leave"]);
  });

  it("delivers its leave after its join when it is ended while its lease is recorded", async () => {
    const { events, admissions, admit, recorded } = open();
    const admitting = admit();
    await expect.poll(() => events).toEqual(["lease"]);
    for (const each of admissions.open()) each.end(ENDED);
    recorded();
    await expect(admitting).resolves.toMatchObject({ ended: ENDED });
    await admissions.whenQueued();
    expect(events).toEqual(["lease", "join", "leave"]);
  });

  it("has a join and a leave, and no lease, when it is ended while the gates are asked", async () => {
    const { events, admissions, admit } = open();
    const admitting = admit();
    for (const each of admissions.joining()) each.end(ENDED);
    await expect(admitting).rejects.toBe(ENDED);
    await admissions.whenQueued();
    expect(events).toEqual(["join", "leave without a lease"]);
  });
});
