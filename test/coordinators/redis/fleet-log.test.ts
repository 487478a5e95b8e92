import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type FleetEntry,
  type FleetRecord,
  applyRecord,
} from "../../../src/coordinators/redis/fleet-log.ts";
import {
  EMPTY_STATE,
  type FleetState,
  type FleetStateJson,
  readState,
  writeState,
} from "../../../src/coordinators/redis/fleet-state.ts";
import { type TriggerDefinition, triggerIdentity } from "../../../src/core/trigger.ts";
import { gateBy, triggerFor, writeGateBy } from "../suite/fleet.ts";

const DEFINITIONS: readonly TriggerDefinition[] = [
  triggerFor("f"),
  triggerFor("g", { metadata: { a: 1 } }),
  gateBy("f"),
  writeGateBy("f"),
];
const GATES: readonly string[] = ["stream:join", "stream:write"];

const member = fc.constantFrom("p/1", "p/2", "q/1", "r/1");
const triggerId = fc.constantFrom("t1", "t2", "t3", "t4");
const functionId = fc.constantFrom("f", "g", "stream::get(orders)");
const partition = fc.nat(2);
const orderId = fc.constantFrom("o1", "o2", "o3");
const how = fc.constantFrom("withdrawn" as const, "lost" as const);
const reattachMs = fc.constant(5);

const entry: fc.Arbitrary<FleetEntry> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("join" as const), member, reattachMs }) },
  fc.record({ kind: fc.constantFrom("leave" as const, "expire" as const), member, reattachMs }),
  fc.record({
    kind: fc.constant("provide" as const),
    member,
    functionIds: fc.array(functionId, { maxLength: 2 }),
  }),
  fc.record({ kind: fc.constant("withdraw" as const), member, functionId, how }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("bind" as const),
      member,
      trigger: fc.record({ id: fc.uuid(), definition: fc.constantFrom(...DEFINITIONS) }),
    }),
  },
  fc.record({ kind: fc.constant("unbind" as const), member, triggerId, how, reattachMs }),
  fc.record({ kind: fc.constant("end" as const), triggerId }),
  fc.record({ kind: fc.constant("contend" as const), member, contends: fc.boolean() }),
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("take" as const), member, partition }),
  },
  fc.record({ kind: fc.constant("release" as const), member, partition }),
  fc.record({ kind: fc.constant("obey" as const), member }),
  fc.record({ kind: fc.constant("order" as const), member, orderId, text: fc.constant("{}") }),
  fc.record({ kind: fc.constant("settle" as const), member, orderId }),
);

/** Entries that name triggers by binding order, because real trigger ids are random. */
const story: fc.Arbitrary<readonly FleetRecord[]> = fc
  .array(fc.tuple(fc.array(entry, { minLength: 1, maxLength: 4 }), fc.nat(4)), { maxLength: 40 })
  .map((steps) => {
    let atMs = 1000;
    let bound = 0;
    return steps.map(([entries, passedMs], index) => ({
      version: index + 1,
      token: `${index}`,
      atMs: (atMs += passedMs),
      entries: entries.map((each) =>
        each.kind === "bind"
          ? { ...each, trigger: { ...each.trigger, id: `t${(bound++ % 4) + 1}` } }
          : each,
      ),
    }));
  })
  // An id in use is never assigned again.
  .filter((records) => isWithoutReuse(records));

function isWithoutReuse(records: readonly FleetRecord[]): boolean {
  let state = EMPTY_STATE;
  for (const one of singles(records)) {
    const [each] = one.entries;
    if (each?.kind === "bind") {
      const known = state.triggers.get(each.trigger.id);
      const isOther =
        known !== undefined && known.identity !== triggerIdentity(each.trigger.definition);
      if (isOther) return false;
    }
    state = applyRecord(state, one);
  }
  return true;
}

/** The same entries, one per record. */
function singles(records: readonly FleetRecord[]): FleetRecord[] {
  return records.flatMap((record) =>
    record.entries.map((each) => ({ ...record, entries: [each] })),
  );
}

const replay = (records: readonly FleetRecord[], from = EMPTY_STATE) =>
  records.reduce(applyRecord, from);

/** The value after a round trip through JSON. */
const stored = (state: FleetState) =>
  readState(JSON.parse(JSON.stringify(writeState(state))) as FleetStateJson);

describe("the agreed state of a fleet", () => {
  it("is the same from the whole log as from a snapshot and the remaining records", () => {
    fc.assert(
      fc.property(story, fc.nat(40), (records, cut) => {
        const snapshot = stored(replay(records.slice(0, cut)));
        expect(writeState(replay(records.slice(cut), snapshot))).toEqual(
          writeState(replay(records)),
        );
      }),
    );
  });

  it("ignores entries of kinds that it does not know, of later versions", () => {
    const later = { kind: "later", member: "p/1" } as unknown as FleetEntry;
    const join: FleetEntry = { kind: "join", member: "p/1", reattachMs: 5 };
    const at = (entries: readonly FleetEntry[]) => [{ version: 1, token: "", atMs: 1, entries }];
    expect(replay(at([join, later]))).toEqual(replay(at([join])));
  });

  it("keeps orders while their issuer is a member and waits for them", () => {
    fc.assert(
      fc.property(story, (records) => {
        let state = EMPTY_STATE;
        for (const record of singles(records)) {
          const after = applyRecord(state, record);
          for (const { issuer } of after.orders.values())
            expect(after.members.has(issuer)).toBe(true);
          const [each] = record.entries;
          for (const [id, order] of state.orders) {
            if (after.orders.has(id)) expect(after.orders.get(id)).toBe(order);
            else {
              expect(["settle", "leave", "expire"]).toContain(each?.kind);
              expect(each).toMatchObject({ member: order.issuer });
            }
          }
          state = after;
        }
      }),
    );
  });

  it("is never changed in place", () => {
    fc.assert(
      fc.property(story, (records) => {
        let state = EMPTY_STATE;
        for (const record of records) {
          const before = JSON.stringify(writeState(state));
          const after = applyRecord(state, record);
          expect(JSON.stringify(writeState(state))).toBe(before);
          state = after;
        }
      }),
    );
  });

  it("moves a partition to another member only after its owner released it or is gone", () => {
    fc.assert(
      fc.property(story, (records) => {
        let state = EMPTY_STATE;
        const fences = new Set<string>();
        for (const record of singles(records)) {
          const after = applyRecord(state, record);
          for (const [number, owner] of after.owners) {
            expect(after.members.has(owner.member)).toBe(true);
            const before = state.owners.get(number);
            if (before !== undefined) expect(owner).toEqual(before);
            else {
              const fence = `${number} ${owner.fence}`;
              // Within one record, a member may release a partition and take it again.
              if (!fences.has(fence)) fences.add(fence);
              expect(owner.fence).toBe(`${record.atMs}-${record.version}-${owner.member}`);
            }
          }
          state = after;
        }
      }),
    );
  });

  it("ends triggers only without holders, and gates only when they are withdrawn (G8)", () => {
    fc.assert(
      fc.property(story, (records) => {
        let state = EMPTY_STATE;
        for (const record of singles(records)) {
          const after = applyRecord(state, record);
          for (const { bound, identity, holders, lostUntilMs } of after.triggers.values()) {
            const isGate = GATES.includes(bound.definition.type);
            expect(lostUntilMs === undefined).toBe(holders.size > 0 || isGate);
            for (const holder of holders) expect(after.members.has(holder)).toBe(true);
            expect(after.identities.get(identity)).toBe(bound.id);
          }
          expect(after.identities.size).toBe(after.triggers.size);
          const [each] = record.entries;
          for (const [id, { bound, lostUntilMs = Infinity }] of state.triggers) {
            if (after.triggers.has(id)) continue;
            const isWithdrawn = each?.kind === "unbind" && each.how === "withdrawn";
            expect(isWithdrawn || lostUntilMs <= record.atMs).toBe(true);
            if (GATES.includes(bound.definition.type)) expect(isWithdrawn).toBe(true);
          }
          state = after;
        }
      }),
    );
  });

  it("is complete after a restore, whatever was agreed on meanwhile", () => {
    fc.assert(
      fc.property(story, story, (lost, found) => {
        const before = replay(lost);
        const other = replay(found);
        const after = applyRecord(other, {
          version: 2000,
          token: "",
          atMs: 5000,
          entries: [
            { kind: "restore", state: writeState(before), origins: [["l", 40]], reattachMs: 5 },
          ],
        });
        for (const { members, triggers, overrides, owners, orders } of [before, other]) {
          for (const id of members.keys()) expect(after.members.has(id)).toBe(true);
          for (const { identity } of triggers.values())
            expect(after.identities.has(identity)).toBe(true);
          for (const id of overrides) expect(after.overrides.has(id)).toBe(true);
          for (const number of owners.keys()) expect(after.owners.has(number)).toBe(true);
          for (const id of orders.keys()) expect(after.orders.has(id)).toBe(true);
        }
        for (const [number, owner] of other.owners) expect(after.owners.get(number)).toEqual(owner);
        for (const { identity } of before.triggers.values()) {
          const { lostUntilMs = 5005 } =
            after.triggers.get(after.identities.get(identity) ?? "") ?? {};
          expect(lostUntilMs).toBe(5005);
        }
        expect(after.origins.get("l")).toBe(40);
      }),
    );
  });

  it("restarts the reattach time of lost triggers when a member joins an empty fleet", () => {
    const at = (version: number, atMs: number, ...entries: FleetEntry[]): FleetRecord => ({
      version,
      token: "",
      atMs,
      entries,
    });
    const join = { kind: "join", reattachMs: 5 } as const;
    const state = replay([
      at(1, 0, { ...join, member: "p/1" }),
      at(2, 1, {
        kind: "bind",
        member: "p/1",
        trigger: { id: "t", definition: triggerFor("f") },
      }),
      at(3, 2, { kind: "leave", member: "p/1", reattachMs: 5 }),
      at(4, 100, { ...join, member: "q/1" }),
      at(5, 104, { kind: "end", triggerId: "t" }),
    ]);
    expect(state.triggers.get("t")?.lostUntilMs).toBe(105);
    const later = replay([at(6, 104, { ...join, member: "r/1" })], state);
    expect(later.triggers.get("t")?.lostUntilMs).toBe(105);
    expect(replay([at(7, 105, { kind: "end", triggerId: "t" })], later).triggers.size).toBe(0);
  });
});
