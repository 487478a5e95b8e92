import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GroupRead, JoinedSubscription } from "../../src/triggers/payloads.ts";
import { ReadAdmissions } from "../../src/triggers/read-admissions.ts";
import { promised } from "../support/gates/calls.ts";

const CALLER = { user: "ann", context: "null", connection: { connectionId: "c1" } };
const GROUP: GroupRead = { streamName: "rooms", groupId: "attic", ...CALLER };
const ITEM: GroupRead = { ...GROUP, itemId: "lamp" };
const joined = (more: Partial<JoinedSubscription> = {}): JoinedSubscription => ({
  ...GROUP,
  itemId: undefined,
  subscriptionId: "s1",
  ...more,
});

/** Answers under test, with a clock that the test moves, and the number of questions. */
function newReads() {
  const time = { ms: 1000 };
  const reads = new ReadAdmissions(() => time.ms);
  let questions = 0;
  /** Reads with gates that allow. @returns Whether they were asked. */
  const asks = async (read: GroupRead): Promise<boolean> => {
    const before = questions;
    await reads.admit(read, async () => void questions++);
    return questions > before;
  };
  return { reads, time, asks };
}

/** Reads that are not covered by consent to GROUP or ITEM. */
const OTHERS: readonly (readonly [string, Partial<GroupRead>])[] = [
  ["another group", { groupId: "cellar" }],
  ["another stream", { streamName: "halls" }],
  ["another connection", { connection: { connectionId: "c2" } }],
  ["another user of the same connection", { user: "bob" }],
  ["no user", { user: undefined }],
  ["another context", { context: '{"role":"guest"}' }],
];

describe("an answer about a read", () => {
  it("holds for 10 s from its question, and is asked for again then", async () => {
    const { time, asks } = newReads();
    expect(await asks(GROUP)).toBe(true);
    time.ms += 9999;
    expect(await asks(GROUP)).toBe(false);
    time.ms += 1;
    expect(await asks(GROUP)).toBe(true);
    time.ms += 9999;
    expect(await asks(GROUP)).toBe(false);
  });

  it("counts from the question even when the gate takes long", async () => {
    const { reads, time, asks } = newReads();
    const gate = promised();
    const first = reads.admit(GROUP, () => gate.promise);
    time.ms += 4000;
    gate.resolve();
    await first;
    time.ms += 5999;
    expect(await asks(GROUP)).toBe(false);
    time.ms += 1;
    expect(await asks(GROUP)).toBe(true);
  });

  it("about a group covers its items, and one about an item only that item", async () => {
    const { asks } = newReads();
    expect(await asks(ITEM)).toBe(true);
    expect(await asks(ITEM)).toBe(false);
    expect(await asks({ ...ITEM, itemId: "bed" })).toBe(true);
    expect(await asks(GROUP)).toBe(true);
    expect(await asks({ ...ITEM, itemId: "desk" })).toBe(false);
  });

  it.each(OTHERS)("does not hold for %s", async (_, other) => {
    const { asks } = newReads();
    expect(await asks(GROUP)).toBe(true);
    expect(await asks({ ...GROUP, ...other })).toBe(true);
  });

  it("holds for no other names, however they run together", async () => {
    const text = fc.string({ unit: fc.constantFrom("a", "1", " ", "-"), maxLength: 6 });
    const cuts = fc.tuple(fc.nat(6), fc.nat(6), fc.nat(6), fc.boolean());
    /** The text as four names, of which the item may be absent when it is empty. */
    const cut = (whole: string, [x, y, z, isWhole]: [number, number, number, boolean]) => {
      const [i, j, k] = [x, y, z].sort((a, b) => a - b);
      const itemId = whole.slice(j, k);
      return {
        ...CALLER,
        streamName: whole.slice(0, i),
        groupId: whole.slice(i, j),
        itemId: itemId === "" && isWhole ? undefined : itemId,
        connection: { connectionId: whole.slice(k) },
      };
    };
    const isCovered = (by: GroupRead, { itemId, ...group }: GroupRead) => {
      const { itemId: byItem, ...byGroup } = by;
      return isDeepStrictEqual(byGroup, group) && (byItem === undefined || byItem === itemId);
    };
    await fc.assert(
      fc.asyncProperty(text, cuts, cuts, async (whole, ...places) => {
        const [first, second] = places.map((place) => cut(whole, place)) as [GroupRead, GroupRead];
        const { asks } = newReads();
        expect(await asks(first)).toBe(true);
        expect(await asks(second)).toBe(!isCovered(first, second));
      }),
      { numRuns: 5000 },
    );
  });

  it("is not remembered when it refuses", async () => {
    const { reads, asks } = newReads();
    const refusal = new Error("no");
    await expect(reads.admit(GROUP, () => Promise.reject(refusal))).rejects.toBe(refusal);
    expect(await asks(GROUP)).toBe(true);
  });

  it("is shared by concurrent reads of the same caller, and only by them", async () => {
    const { reads, asks } = newReads();
    const gate = promised();
    let questions = 0;
    const ask = () => {
      questions++;
      return gate.promise;
    };
    const all = [GROUP, GROUP, { ...GROUP }, { ...GROUP, user: "bob" }, ITEM].map(async (read) =>
      reads.admit(read, ask),
    );
    expect(questions).toBe(3);
    gate.resolve();
    await Promise.all(all);
    expect(await asks(ITEM)).toBe(false);
  });

  it("is shared by concurrent reads when it refuses", async () => {
    const { reads, asks } = newReads();
    const gate = promised();
    const refuse = async () => {
      await gate.promise;
      throw new Error("no");
    };
    const allow = async () => {};
    const results = [refuse, allow].map(async (ask) => reads.admit(GROUP, ask));
    gate.resolve();
    expect((await Promise.allSettled(results)).map(({ status }) => status)).toEqual([
      "rejected",
      "rejected",
    ]);
    expect(await asks(GROUP)).toBe(true);
  });

  it("is forgotten on request, and a question from before it is neither shared nor remembered", async () => {
    const { reads, asks } = newReads();
    expect(await asks(GROUP)).toBe(true);
    const gate = promised();
    const before = reads.admit(ITEM, () => gate.promise);
    expect(before).toBeUndefined();
    const other = { ...GROUP, groupId: "cellar" };
    const pending = reads.admit(other, () => gate.promise);
    reads.forget();
    expect(await asks(GROUP)).toBe(true);
    const after = promised();
    let isAsked = false;
    const shared = reads.admit(other, () => {
      isAsked = true;
      return after.promise;
    });
    expect(isAsked).toBe(true);
    gate.resolve();
    await pending;
    // The end of the old question ends neither the new one nor its sharing.
    expect(reads.admit(other, () => Promise.reject(new Error("shared")))).toBe(shared);
    reads.forget();
    after.resolve();
    await shared;
    expect(await asks(other)).toBe(true);
  });

  it("is one of at most 10,000, of which the most recently used are kept", async () => {
    const { asks } = newReads();
    const read = (i: number) => ({ ...GROUP, groupId: `g${i}` });
    for (let i = 0; i < 30_000; i++) await asks(read(i));
    let remembered = 0;
    for (let i = 29_999; i >= 0 && !(await asks(read(i))); i--) remembered++;
    expect(remembered).toBeGreaterThanOrEqual(4999);
    expect(remembered).toBeLessThanOrEqual(10_000);
  });

  it("takes the place of several when the context of its caller is large", async () => {
    const { asks } = newReads();
    const context = JSON.stringify("x".repeat(64 * 1024));
    const read = (i: number) => ({ ...GROUP, context, groupId: `g${i}` });
    for (let i = 0; i < 200; i++) await asks(read(i));
    let remembered = 0;
    for (let i = 199; i >= 0 && !(await asks(read(i))); i--) remembered++;
    expect(remembered).toBeGreaterThan(50);
    expect(remembered).toBeLessThan(160);
  });
});

describe("an admitted subscription", () => {
  it("covers the reads of its group until it is released", async () => {
    const { reads, time, asks } = newReads();
    const subscription = joined();
    reads.hold(subscription);
    time.ms += 1_000_000;
    expect(await asks(GROUP)).toBe(false);
    expect(await asks(ITEM)).toBe(false);
    reads.release(subscription);
    expect(await asks(ITEM)).toBe(true);
  });

  it("to an item covers only that item", async () => {
    const { reads, asks } = newReads();
    reads.hold(joined({ itemId: "lamp" }));
    expect(await asks(ITEM)).toBe(false);
    expect(await asks({ ...ITEM, itemId: "bed" })).toBe(true);
    expect(await asks(GROUP)).toBe(true);
  });

  it.each(OTHERS)("does not cover %s", async (_, other) => {
    const { reads, asks } = newReads();
    reads.hold(joined());
    expect(await asks({ ...GROUP, ...other })).toBe(true);
    reads.hold(joined({ subscriptionId: "s2" }));
    reads.forget();
    expect(await asks({ ...GROUP, ...other })).toBe(true);
  });

  it("still counts after answers are forgotten", async () => {
    const { reads, asks } = newReads();
    reads.hold(joined());
    reads.forget();
    expect(await asks(GROUP)).toBe(false);
  });

  it("is one of several of a connection, each of which covers its group alone", async () => {
    const { reads, asks } = newReads();
    const all = [
      joined(),
      joined(),
      joined({ itemId: "lamp" }),
      joined({ groupId: "cellar" }),
      joined({ connection: { connectionId: "c2" } }),
    ] as const;
    const cellar = { ...GROUP, groupId: "cellar" };
    for (const each of all) reads.hold(each);
    reads.release(all[0]);
    reads.release(all[0]);
    expect(await asks(GROUP)).toBe(false);
    expect(await asks(cellar)).toBe(false);
    reads.release(all[1]);
    expect(await asks(ITEM)).toBe(false);
    expect(await asks(GROUP)).toBe(true);
    reads.forget();
    reads.release(all[3]);
    expect(await asks(cellar)).toBe(true);
    reads.release(all[2]);
    reads.forget();
    expect(await asks(ITEM)).toBe(true);
    expect(await asks({ ...GROUP, connection: { connectionId: "c2" } })).toBe(false);
    reads.release(all[4]);
    expect(await asks({ ...GROUP, connection: { connectionId: "c2" } })).toBe(true);
  });

  it("that was never held may be released", async () => {
    const { reads, asks } = newReads();
    reads.release(joined());
    reads.hold(joined());
    reads.release(joined());
    expect(await asks(GROUP)).toBe(false);
  });
});
