import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChangeEvent } from "../../../src/core/change.ts";
import type { GroupKey } from "../../../src/core/names.ts";
import type { UpdateOp } from "../../../src/core/ops.ts";
import { reduce } from "../../../src/core/reduce.ts";
import type { History, Mutation, ReadLimits, Store } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import { op } from "../../core/op-builders.ts";
import type { OpenStore } from "./fixture.ts";
import { ALL, commit, groupOf, listen, put, remove, testClock } from "./fixture.ts";
import { storesOf } from "./setup.ts";

const ITEMS = ["a", "b", "c"];
/** A value that is larger than the steps that change it. */
const LONG = { text: "x".repeat(150), n: 1, list: [] };

/** An update by steps. */
export function update(itemId: string, ...ops: readonly UpdateOp[]): Mutation {
  return { kind: "reduce", itemId, bytes: 0, reduce: (current) => reduce(current, ops) };
}

const step: fc.Arbitrary<UpdateOp> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom("y", "é", "\u{1f600}").map((t) => op.append(["text"], t)),
  },
  fc.constant(op.append(["list"], 1)),
  fc.constant(op.append(["deep", "er"], "z")),
  fc.constant(op.increment("n", 2)),
  fc.constant(op.decrement("m", 3)),
  fc.constant(op.merge(["deep"], { k: [true] })),
  fc.constantFrom("text", "n").map((key) => op.remove(key)),
  fc.constantFrom("text", "n").map((key) => op.set(key, "w".repeat(60))),
  { weight: 1, arbitrary: fc.constantFrom(LONG, "s", null).map((root) => op.set("", root)) },
  // These fail on most values.
  fc.constant(op.increment("text", 1)),
  fc.constant(op.merge(["__proto__"], {})),
);

const mutation: fc.Arbitrary<Mutation> = fc
  .tuple(
    fc.constantFrom(...ITEMS),
    fc.oneof(
      { weight: 12, arbitrary: fc.array(step, { maxLength: 3 }) },
      { weight: 2, arbitrary: fc.constant("put" as const) },
      { weight: 1, arbitrary: fc.constant("delete" as const) },
    ),
  )
  .map(([itemId, what]) =>
    what === "put"
      ? put(itemId, LONG)
      : what === "delete"
        ? remove(itemId)
        : update(itemId, ...what),
  );

/** Commits of one group. */
export const anyCommits: fc.Arbitrary<readonly (readonly Mutation[])[]> = fc.array(
  fc.array(mutation, { minLength: 1, maxLength: 5 }),
  { minLength: 1, maxLength: 12 },
);

const limits: fc.Arbitrary<History> = fc.record({
  maxChanges: fc.constantFrom(0, 1, 3, 10, 1000),
  maxBytes: fc.constantFrom(0, 300, 1000, 1_000_000),
  maxAgeMs: fc.constantFrom(1000, 3_600_000),
});

/** The items of a group as text, by id. */
type Items = ReadonlyMap<string, { readonly revision: number; readonly text: string }>;

function after(items: Items, { itemId, type, position, value }: ChangeEvent): Items {
  const next = new Map(items);
  if (type === "delete") next.delete(itemId);
  else next.set(itemId, { revision: position.revision, text: value.text });
  return next;
}

/**
 * Verifies that the log gives the changes that were announced, as whole values and as deltas, from
 * every position that it can resume.
 *
 * @param announced All changes of the group, from its first.
 * @param everyNth Which positions to resume from.
 * @returns Revisions from which it can resume.
 */
export async function expectLog(
  store: Store,
  group: GroupKey,
  announced: readonly ChangeEvent[],
  page: ReadLimits = ALL,
  everyNth = 1,
): Promise<readonly number[]> {
  const epoch = announced.at(-1)?.position.epoch ?? "";
  const states: Items[] = [new Map()];
  for (const change of announced) states.push(after(states.at(-1)!, change));
  const resumable: number[] = [];
  for (let from = 0; from <= announced.length; from += everyNth) {
    const position = { epoch, revision: from };
    const whole = await store.since(group, position, page);
    const short = await store.deltasSince?.(group, position, page);
    if (short !== undefined) expect(short.lost).toBe(whole.lost);
    if (whole.lost || short?.lost === true) continue;
    resumable.push(from);
    expect(whole.changes).toEqual(announced.slice(from, from + whole.changes.length));
    if (from < announced.length) expect(whole.changes).not.toEqual([]);
    if (page === ALL) expect(whole.changes.length).toBe(announced.length - from);
    if (short === undefined) continue;
    let items = states[from]!;
    for (const [index, entry] of short.changes.entries()) {
      const change = announced[from + index]!;
      expect(entry.kind).toBe(change.delta === undefined ? "change" : "delta");
      if (entry.kind === "change") expect(entry).toEqual(change);
      else {
        const { kind: _, type: __, value: ___, ...rest } = change;
        expect(entry).toEqual({ ...rest, kind: "delta" });
        const base = items.get(entry.itemId)!;
        expect(entry.delta.baseRevision).toBe(base.revision);
        const { value, errors } = reduce(Value.parse(base.text), entry.delta.ops);
        expect([value.text, errors]).toEqual([change.value.text, []]);
      }
      items = after(items, change);
    }
    expect(short.changes.length).toBeGreaterThanOrEqual(whole.changes.length);
    if (page === ALL) expect(short.changes.length).toBe(announced.length - from);
  }
  if (everyNth === 1) {
    const { oldest } = await store.logRange(group);
    expect(oldest).toBe((resumable[0] ?? announced.length) + 1);
  }
  return resumable;
}

/** The log and the feed of updates by steps. */
export function describeDeltas(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");

  describe("deltas", () => {
    it("and whole values give the same items from every position, however the log is trimmed (G4)", async () => {
      await fc.assert(
        fc.asyncProperty(
          limits,
          anyCommits,
          fc.constantFrom(0, 300, 1010),
          async (history, commits, waitMs) => {
            const clock = testClock();
            const { store, sweep, dispose } = await stores({ clock, history });
            const { events, received } = await listen(store, group);
            let revision = 0;
            for (const [index, mutations] of commits.entries()) {
              revision = (await commit(store, group, ...mutations)).position.revision;
              clock.nowMs += index % 4 === 3 ? waitMs : 0;
              if (index % 5 === 4) await sweep();
              if (index % 6 === 5 || index === commits.length - 1) {
                // A group that was forgotten has another history.
                const [head] = await store.heads([group]);
                if (head?.position.revision !== revision) return;
                await received(revision);
                const changes = events as readonly ChangeEvent[];
                const { epoch } = head.position;
                if (changes.some(({ position }) => position.epoch !== epoch)) return;
                await expectLog(store, group, changes);
                await expectLog(store, group, changes, { maxCount: 3, maxBytes: 600 });
              }
            }
            await dispose();
          },
        ),
        { numRuns: 20 },
      );
    });

    it("are announced with the whole value, and not for other changes", async () => {
      const { store } = await stores();
      const { events, received } = await listen(store, group);
      await commit(store, group, put("a", LONG), update("a", op.append(["text"], "y")));
      await commit(store, group, update("a", op.append(["n"], "y")), update("b", op.set("n", 1)));
      await commit(store, group, update("b", op.increment("n", 1)), put("a", LONG), remove("a"));
      await received(7);
      const changes = events as readonly ChangeEvent[];
      expect(
        changes.map(({ type, delta }) => [type, delta && [delta.baseRevision, delta.text]]),
      ).toEqual([
        ["create", undefined],
        ["update", [1, `[{"type":"append","path":["text"],"value":"y"}]`]],
        ["update", [2, "[]"]],
        ["create", undefined],
        // Its value is smaller.
        ["update", undefined],
        ["update", undefined],
        ["delete", undefined],
      ]);
      expect(changes[1]?.value.json()).toEqual({ ...LONG, text: `${LONG.text}y` });
    });

    it("make the log hold a multiple of the changes that whole values would allow", async () => {
      const { store } = await stores({ history: { maxBytes: 100_000 } });
      const { received, events } = await listen(store, group);
      await commit(store, group, put("a", { text: "x".repeat(10_000) }));
      for (let i = 0; i < 10; i++) {
        const more = Array.from({ length: 30 }, () => update("a", op.append(["text"], "y")));
        await commit(store, group, ...more);
      }
      await received(301);
      const changes = events as readonly ChangeEvent[];
      const resumable = await expectLog(store, group, changes, ALL, 43);
      expect(resumable).toEqual([0, 43, 86, 129, 172, 215, 258, 301]);
    });

    it("of items without a whole value in the log are logged whole", async () => {
      const { store } = await stores({ history: { maxChanges: 4 } });
      const { received, events } = await listen(store, group);
      await commit(store, group, put("a", LONG), put("b", LONG));
      for (let i = 0; i < 20; i++) {
        await commit(store, group, update(i % 7 === 6 ? "a" : "b", op.append(["text"], "y")));
        await received(i + 3);
        const resumable = await expectLog(store, group, events as readonly ChangeEvent[]);
        expect(resumable.length).toBe(Math.min(5, i + 4));
      }
    });
  });
}
