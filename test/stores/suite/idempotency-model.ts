import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Committed } from "../../../src/core/store.ts";
import type { OpenStore } from "./fixture.ts";
import { attempt, commit, contents, groupOf, mark, put, remove, testClock } from "./fixture.ts";
import { once, repetitionOf } from "./idempotency.ts";
import { storesOf } from "./setup.ts";

const group = groupOf("room");

/** Random commits with idempotency keys, compared with a model. */
export function describeIdempotencyModel(open: OpenStore): void {
  const stores = storesOf(open);

  describe("random commits with idempotency keys", () => {
    it("agree with a naive model", async () => {
      const step = fc.oneof(
        {
          weight: 8,
          arbitrary: fc.record({
            kind: fc.constant("write" as const),
            key: fc.constantFrom("k1", "k2", "k3"),
            fingerprint: fc.constantFrom("f", "f", "f", "g"),
            item: fc.constantFrom("a", "b"),
            how: fc.constantFrom("put", "mark", "remove", "refused", "both"),
          }),
        },
        { weight: 2, arbitrary: fc.record({ kind: fc.constant("plain" as const) }) },
        {
          weight: 2,
          arbitrary: fc.record({
            kind: fc.constant("wait" as const),
            ms: fc.constantFrom(1, 400, 999, 1000, 5000),
          }),
        },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant("sweep" as const) }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
          const clock = testClock();
          const fixture = await stores({ clock, idempotencyWindowMs: 1000 });
          const { store } = fixture;
          const known = new Map<string, { atMs: number; fingerprint: string; first: Committed }>();
          const items = new Map<string, string>();
          for (const next of steps) {
            if (next.kind === "wait") clock.nowMs += next.ms;
            else if (next.kind === "sweep") await fixture.sweep();
            else if (next.kind === "plain") await commit(store, group, put("p", 1));
            else {
              const { key, fingerprint, item, how } = next;
              const idempotency = once(key, fingerprint);
              const mutations = {
                put: [put(item, "p")],
                mark: [mark(item, "x")],
                remove: [remove(item)],
                refused: [put(item, "r", 1_000_000)],
                both: [remove(item), mark("c", "y")],
              }[how];
              const outcome = await attempt(store, group, mutations, { idempotency });
              const earlier = known.get(key);
              if (earlier !== undefined && clock.nowMs - earlier.atMs < 1000) {
                if (earlier.fingerprint === fingerprint)
                  expect(outcome).toEqual(repetitionOf(earlier.first));
                else expect(outcome).toMatchObject({ error: { reason: "IDEMPOTENCY_MISMATCH" } });
              } else if (how === "refused") {
                expect(outcome).toMatchObject({ error: { reason: "REVISION_MISMATCH" } });
              } else {
                expect(outcome.ok && outcome.deduplicated).toBeUndefined();
                known.set(key, { atMs: clock.nowMs, fingerprint, first: outcome as Committed });
                if (how === "put") items.set(item, "p");
                if (how === "mark") items.set(item, `${items.get(item) ?? ""}x`);
                if (how === "remove" || how === "both") items.delete(item);
                if (how === "both") items.set("c", `${items.get("c") ?? ""}y`);
              }
            }
            const stored = (await contents(store, group)).filter(([id]) => id !== "p");
            expect(new Map(stored)).toEqual(items);
          }
          await fixture.dispose();
        }),
        { numRuns: 25 },
      );
    });
  });
}
