import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StreamError } from "../../../src/core/errors.ts";
import type { Commit, History, Mutation, Outcome, Store } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore, TestClock } from "./fixture.ts";
import { ALL, brief, groupOf, listen, mark, put, remove, testClock } from "./fixture.ts";
import { NaiveGroup } from "./naive-group.ts";
import type { NaiveOutcome } from "./naive-group.ts";
import { storesOf } from "./setup.ts";

const GROUPS = ["g", "g:1", "\u{10000}"].map((groupId) => groupOf(groupId));
const ITEMS = ["a", "b", "c", "d"];

interface CommitPlan {
  readonly group: number;
  readonly mutations: readonly {
    readonly kind: string;
    readonly item: number;
    readonly expected: string;
    readonly length: number;
  }[];
  readonly epoch: "any" | "right" | "wrong";
  readonly maxReturnBytes: number | undefined;
  readonly author: string | undefined;
}

/** One step of a history. Its commits and events are sent together, in order. */
type Step =
  | {
      readonly kind: "send";
      readonly calls: readonly (CommitPlan | { readonly broadcast: number })[];
    }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "sweep" };

const commitPlan: fc.Arbitrary<CommitPlan> = fc.record({
  group: fc.nat(GROUPS.length - 1),
  mutations: fc.array(
    fc.record({
      kind: fc.constantFrom("put", "put", "mark", "delete", "delete", "throw"),
      item: fc.nat(ITEMS.length - 1),
      expected: fc.constantFrom("any", "any", "any", "right", "none", "wrong"),
      length: fc.nat(20),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  epoch: fc.constantFrom("any", "any", "any", "right", "wrong"),
  maxReturnBytes: fc.option(fc.nat(120), { nil: undefined, freq: 5 }),
  author: fc.constantFrom(undefined, undefined, "user:ann", "key:é"),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("send" as const),
      calls: fc.array(
        fc.oneof(
          { weight: 5, arbitrary: commitPlan },
          { weight: 1, arbitrary: fc.record({ broadcast: fc.nat(GROUPS.length - 1) }) },
        ),
        { minLength: 1, maxLength: 5 },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.constantFrom(0, 1, 300, 1000, 1010),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "sweep" as const }) },
);

const history: fc.Arbitrary<History> = fc.record({
  maxChanges: fc.constantFrom(1, 3, 6, 1000),
  maxBytes: fc.constantFrom(20, 100, 1_000_000),
  maxAgeMs: fc.constantFrom(1000, 3_600_000),
});

/** Random histories, compared with a model in everything visible. */
export function describeModel(open: OpenStore): void {
  const stores = storesOf(open);

  describe("random histories", () => {
    it("agree with a naive model in outcomes, items, order, log and positions (G1, G2, G4)", async () => {
      await fc.assert(
        fc.asyncProperty(history, fc.array(step, { maxLength: 25 }), async (limits, steps) => {
          const clock = testClock();
          const { store, sweep, dispose } = await stores({ clock, history: limits });
          const run = new ModelRun(store, clock, limits);
          await run.start();
          for (const next of steps) {
            if (next.kind === "wait") clock.nowMs += next.ms;
            else if (next.kind === "send") await run.send(next.calls);
            else {
              await sweep();
              run.sweep();
            }
            await run.compare();
          }
          await run.finish();
          await dispose();
        }),
        { numRuns: 30 },
      );
    });
  });
}

class ModelRun {
  readonly #store: Store;
  readonly #clock: TestClock;
  readonly #history: History;
  readonly #groups = GROUPS.map(() => new NaiveGroup());
  /** The events that each group should announce. */
  readonly #announced: unknown[][] = GROUPS.map(() => []);
  readonly #recorders: Awaited<ReturnType<typeof listen>>[] = [];
  /** The store's epoch of a group's era. */
  readonly #epochs = new Map<string, string>();

  constructor(store: Store, clock: TestClock, limits: History) {
    this.#store = store;
    this.#clock = clock;
    this.#history = limits;
  }

  async start(): Promise<void> {
    for (const group of GROUPS) this.#recorders.push(await listen(this.#store, group));
  }

  async send(calls: readonly (CommitPlan | { readonly broadcast: number })[]): Promise<void> {
    // Everything is sent before anything is awaited; the store applies it in this order.
    const pending = calls.map((call) => {
      if ("broadcast" in call) {
        const message = { type: "m", itemId: undefined, value: Value.of("x") };
        const sent = this.#store.broadcast(GROUPS[call.broadcast]!, message);
        const group = this.#groups[call.broadcast]!;
        const after = group.revision;
        this.#announced[call.broadcast]!.push({ after, timestamp: group.tick(this.#clock.nowMs) });
        return async () => sent;
      }
      const group = this.#groups[call.group]!;
      const commit: Commit = {
        mutations: call.mutations.map((plan) => mutationOf(plan, group)),
        maxReturnBytes: call.maxReturnBytes,
        author: call.author,
        expectedEpoch:
          call.epoch === "any"
            ? undefined
            : call.epoch === "wrong"
              ? "elsewhere"
              : this.#epochOf(call.group),
      };
      // The epoch of a group that the same step creates is not known yet.
      const rightEpoch = commit.expectedEpoch === this.#epochOf(call.group);
      const outcome = this.#store.run(GROUPS[call.group]!, [commit]);
      const before = group.revision;
      const expected = group.commit(
        {
          ...commit,
          wrongEpoch: commit.expectedEpoch !== undefined && !rightEpoch,
          maxReturnBytes: call.maxReturnBytes,
        },
        this.#clock.nowMs,
      );
      for (const change of group.changes.slice(before)) {
        this.#announced[call.group]!.push({
          revision: change.revision,
          type: change.type,
          itemId: change.itemId,
          json: change.json,
          timestamp: change.timestamp,
          author: change.author,
        });
      }
      return async () => expectSame((await outcome)[0]!, expected);
    });
    for (const check of pending) await check();
  }

  sweep(): void {
    for (const group of this.#groups) group.sweep(this.#clock.nowMs, this.#history);
  }

  async compare(): Promise<void> {
    const heads = await this.#store.heads(GROUPS);
    for (const [index, group] of this.#groups.entries()) {
      const key = GROUPS[index]!;
      const { epoch, revision } = heads[index]!.position;
      expect(epoch).toBe(this.#epochOf(index, epoch));
      expect({ revision, timestamp: heads[index]!.timestamp }).toEqual({
        revision: group.revision,
        timestamp: group.timestamp,
      });
      const { items } = await this.#store.list(key, ALL);
      expect(items.map((item) => ({ ...item, value: item.value.json() }))).toEqual(
        group.items.map(({ json, ...item }) => ({ ...item, value: json })),
      );
      for (const itemId of ITEMS) {
        const { item } = await this.#store.get(key, itemId);
        expect(item && brief(item)[1]).toEqual(
          group.items.find((other) => other.itemId === itemId)?.json,
        );
      }
      for (let from = 0; from <= group.revision; from++) {
        const replay = await this.#store.since(key, { epoch, revision: from }, ALL);
        const seen = replay.lost
          ? "lost"
          : replay.changes.map(({ position, value, type, itemId, timestamp, timeMs, author }) => ({
              type,
              itemId,
              json: value.json(),
              revision: position.revision,
              timestamp,
              timeMs,
              size: value.size,
              author,
            }));
        expect(seen).toEqual(group.since(from, this.#clock.nowMs, this.#history));
      }
    }
    const present = GROUPS.filter((_, index) => this.#groups[index]!.items.length > 0);
    expect(await this.#store.allGroups({ limit: 10 })).toEqual({
      groups: present,
      streamCount: present.length > 0 ? 1 : 0,
    });
  }

  async finish(): Promise<void> {
    for (const [index, recorder] of this.#recorders.entries()) {
      await recorder.received(this.#announced[index]!.length);
      const received = recorder.events.map((event) =>
        event.kind === "event"
          ? { after: event.after.revision, timestamp: event.timestamp }
          : {
              revision: event.position.revision,
              type: event.type,
              itemId: event.itemId,
              json: event.value.json(),
              timestamp: event.timestamp,
              author: event.author,
            },
      );
      expect(received).toEqual(this.#announced[index]);
    }
  }

  /** The store's epoch for the group's current era: the first one seen is kept. */
  #epochOf(index: number, seen?: string): string | undefined {
    const group = this.#groups[index]!;
    if (!group.alive) return "";
    const era = `${index} ${group.era}`;
    if (seen !== undefined && !this.#epochs.has(era)) {
      expect([...this.#epochs.values(), ""]).not.toContain(seen);
      this.#epochs.set(era, seen);
    }
    return this.#epochs.get(era);
  }
}

function mutationOf(plan: CommitPlan["mutations"][number], group: NaiveGroup): Mutation {
  const itemId = ITEMS[plan.item]!;
  const current = group.items.find((item) => item.itemId === itemId)?.revision ?? 0;
  const revisions: Record<string, number | undefined> = {
    right: current,
    none: 0,
    wrong: current + 1,
  };
  const expected = revisions[plan.expected];
  if (plan.kind === "put") return put(itemId, "p".repeat(plan.length), expected);
  if (plan.kind === "mark") return mark(itemId, "m".repeat(plan.length), expected);
  if (plan.kind === "delete") return remove(itemId, expected);
  return {
    kind: "reduce",
    bytes: 0,
    itemId,
    expectedRevision: expected,
    reduce: () => {
      throw new StreamError("VALUE_INVALID", "data is not valid.");
    },
  };
}

function expectSame(outcome: Outcome, expected: NaiveOutcome): void {
  if (expected.ok) {
    expect(outcome).toMatchObject({ ok: true, position: { revision: expected.revision } });
    const values = outcome.ok
      ? outcome.results.map(({ oldValue, newValue }) => [oldValue?.json(), newValue?.json()])
      : [];
    expect(values).toEqual(expected.values);
    return;
  }
  const { reason, metadata } = expected;
  expect(outcome).toMatchObject({ ok: false, error: { reason, metadata } });
  if (!outcome.ok) expect("index" in outcome.error.metadata).toBe("index" in metadata);
}
