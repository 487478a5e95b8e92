import { describe, expect, it } from "vitest";
import type { SubscriptionLease } from "../../src/core/coordinator.ts";
import { StreamError } from "../../src/core/errors.ts";
import { HeldElsewhere } from "../../src/core/held-elsewhere.ts";
import { LOCAL } from "../../src/rights/caller.ts";
import type {
  Admission,
  HolderSession,
  SubscriptionHolder,
  SuspendedSubscription,
} from "../../src/triggers/admission.ts";
import { createAdmissions } from "../../src/triggers/admissions.ts";
import { leavePayload } from "../../src/triggers/payloads.ts";
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
function open(hold?: (lease: SubscriptionLease) => Promise<void>) {
  const events: string[] = [];
  let record: (error?: Error) => void = () => {};
  let decide = async () => {};
  const gates = {
    hasListeners: () => true,
    admit: async () => {
      await decide();
      return async () => void events.push("join");
    },
  };
  const leaves = {
    isWanted: hold === undefined,
    deliver: (_: SubscriptionLease, isLeased: boolean) =>
      void events.push(isLeased ? "leave" : "leave without a lease"),
    queueOf: () => undefined,
    review() {},
    async whenDelivered() {},
    async close() {},
  };
  const leases = {
    hold:
      hold ??
      (() =>
        new Promise<void>((resolve, reject) => {
          events.push("lease");
          record = (error) => (error === undefined ? resolve() : reject(error));
        })),
    async release() {},
    detach: async () => true,
    onOrphan: () => () => {},
  };
  const reads = new ReadAdmissions(() => 0);
  const admissions = createAdmissions(gates, reads, leaves, leases, () => "lease");
  /** What a session has kept suspended. */
  const kept: SuspendedSubscription[] = [];
  const session: HolderSession = {
    id: "session",
    begin: () => {
      const claimed = kept.pop();
      return {
        allow: () => claimed,
        fail: () => void (claimed?.isOver === false && kept.push(claimed)),
      };
    },
  };
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
    kept,
    admitToSession: () => admissions.admit(JOINED, { ...holder, session }),
    decideBy: (next: () => Promise<void>) => void (decide = next),
    recorded: (error?: Error) => record(error),
  };
}

const ENDED = new StreamError("SUBSCRIPTION_ENDED", "The subscription was ended.");

describe("a suspended subscription that is adopted", () => {
  const lease = {
    id: "l",
    payload: leavePayload({ ...JOINED, context: "null" }),
    session: "session",
  };

  it("goes on, unless it was ended lately", async () => {
    const { admissions } = open();
    expect(admissions.adopt(lease).isOver).toBe(false);
    admissions.endAdopted(({ joined }) => joined.groupId === "other", ENDED);
    expect(admissions.adopt(lease).isOver).toBe(false);
  });

  it("leaves when it was ended while it was on its way (G11)", async () => {
    const { admissions, events } = open();
    admissions.endAdopted(({ joined }) => joined.groupId === JOINED.groupId, ENDED);
    expect(admissions.adopt(lease).isOver).toBe(true);
    await expect.poll(() => events).toEqual(["leave"]);
    expect([...admissions.suspended()]).toEqual([]);
  });
});

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

  it("has a leave when it is ended while the gates are asked about its next join, which they refuse", async () => {
    const { events, kept, admissions, admitToSession, decideBy, recorded } = open();
    const admitting = admitToSession();
    await expect.poll(() => events).toEqual(["lease"]);
    recorded();
    kept.push((await admitting).suspend());
    const refusal = new StreamError("JOIN_REFUSED", "No.");
    decideBy(async () => {
      await Promise.resolve();
      for (const each of [...admissions.joining(), ...admissions.suspended()]) each.end(ENDED);
      throw refusal;
    });
    await expect(admitToSession()).rejects.toBe(refusal);
    expect(kept).toEqual([]);
    await admissions.whenQueued();
    expect(events).toEqual(["lease", "join", "leave"]);
  });

  it("has no second join and leave when it is ended while its next join is at the gates", async () => {
    const { events, kept, admissions, admitToSession, decideBy, recorded } = open();
    const admitting = admitToSession();
    await expect.poll(() => events).toEqual(["lease"]);
    recorded();
    kept.push((await admitting).suspend());
    decideBy(async () => {
      await Promise.resolve();
      for (const each of [...admissions.joining(), ...admissions.suspended()]) each.end(ENDED);
    });
    await expect(admitToSession()).rejects.toBe(ENDED);
    await admissions.whenQueued();
    expect(events).toEqual(["lease", "join", "leave"]);
  });

  it("has neither a join nor a leave when another process holds its session by then", async () => {
    const { events, admissions, admitToSession, recorded } = open();
    const admitting = admitToSession();
    await expect.poll(() => events).toEqual(["lease"]);
    recorded(new HeldElsewhere());
    await expect(admitting).rejects.toBeInstanceOf(HeldElsewhere);
    await admissions.whenQueued();
    expect(events).toEqual(["lease"]);
    expect([...admissions.open()]).toEqual([]);
  });

  it("waits in its session when the gates refuse its next join", async () => {
    const { events, kept, admitToSession, decideBy, recorded } = open();
    const admitting = admitToSession();
    await expect.poll(() => events).toEqual(["lease"]);
    recorded();
    const suspended = (await admitting).suspend();
    kept.push(suspended);
    decideBy(() => Promise.reject(new StreamError("JOIN_REFUSED", "No.")));
    await expect(admitToSession()).rejects.toMatchObject({ reason: "JOIN_REFUSED" });
    expect(kept).toEqual([suspended]);
    expect(events).toEqual(["lease", "join"]);
  });
});

describe("the leases of all open subscriptions", () => {
  const UNAVAILABLE = new StreamError("STORE_UNAVAILABLE", "Redis is gone.");

  it("are tried again after they could not be recorded, and wait for one another", async () => {
    const tried: string[] = [];
    let isDown = true;
    const { admissions, events, admit } = open(async ({ id }) => {
      tried.push(id);
      if (isDown && tried.length === 1) throw UNAVAILABLE;
      await new Promise((resolve) => setImmediate(resolve));
      tried.push("recorded");
    });
    const admission = await admit();
    await admit();
    await expect(admissions.holdAll()).rejects.toBe(UNAVAILABLE);
    expect(tried).toEqual(["lease", "lease", "recorded"]);
    isDown = false;
    await admissions.holdAll();
    expect(tried).toEqual(["lease", "lease", "recorded", "lease", "recorded"]);
    await admissions.holdAll();
    expect(tried).toHaveLength(5);
    admission.leave();
    await expect.poll(() => events).toEqual(["join", "join", "leave"]);
  });

  it("leave out subscriptions that another process has, which have no leave here", async () => {
    const { admissions, events, admit } = open(() => Promise.reject(new HeldElsewhere()));
    const [one, two] = [await admit(), await admit()];
    const suspended = two.suspend();
    await admissions.holdAll();
    expect([...admissions.open(), ...admissions.suspended()]).toEqual([]);
    one.leave();
    suspended.leave();
    await admissions.whenQueued();
    expect(events).toEqual(["join", "join"]);
  });
});
