import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json } from "../../../src/core/value.ts";
import type { UpdateStep } from "../../../src/service/library-types.ts";
import type { StreamService } from "../../../src/service/stream-service.ts";
import { GROUP, type Table, only, servicesOf, table, take, without } from "./custom-fixture.ts";

// Few items and keys, so that calls collide.
const itemId = fc.constantFrom("a", "b", "c");
const key = fc.constantFrom("x", "y", "", "__proto__");
const legalKey = fc.constantFrom("x", "y", "z");
const by = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(Number.MAX_SAFE_INTEGER));
const json: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 2 },
    fc.constantFrom<Json>(null, true, "", "é", 0, 1.5),
    fc.array(tie("json"), { maxLength: 2 }),
    fc.dictionary(legalKey, tie("json"), { maxKeys: 2, noNullPrototype: true }),
  ),
})).json;
const path = fc.array(key, { maxLength: 3 });
const step: fc.Arbitrary<UpdateStep> = fc.oneof(
  fc.record({ type: fc.constant("set" as const), path: key, value: json }),
  fc.record({ type: fc.constant("merge" as const), path, value: json }),
  fc.record({ type: fc.constantFrom("increment" as const, "decrement" as const), path: key, by }),
  fc.record({ type: fc.constant("append" as const), path, value: json }),
  fc.record({ type: fc.constant("remove" as const), path: legalKey }),
);

type Call =
  | { readonly kind: "set"; readonly itemId: string; readonly data: Json }
  | { readonly kind: "update"; readonly itemId: string; readonly ops: readonly UpdateStep[] }
  | { readonly kind: "delete" | "get"; readonly itemId: string }
  | { readonly kind: "list" };

const call: fc.Arbitrary<Call> = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), itemId, data: json }),
  fc.record({
    kind: fc.constant("update" as const),
    itemId,
    ops: fc.array(step, { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constantFrom("delete" as const, "get" as const), itemId }),
  fc.constant({ kind: "list" as const }),
);

/** Makes one call; a refusal is a result too. Epochs differ between streams. */
async function outcome(service: StreamService, streamName: string, made: Call): Promise<unknown> {
  const group = { ...GROUP, streamName };
  const run = async () => {
    switch (made.kind) {
      case "list":
        return service.list(group);
      case "set":
        return service.set({ ...group, itemId: made.itemId, data: made.data });
      case "update":
        return service.update({ ...group, itemId: made.itemId, ops: made.ops });
      case "delete":
        return service.delete({ ...group, itemId: made.itemId });
      case "get":
        return service.get({ ...group, itemId: made.itemId });
    }
  };
  try {
    return comparable(await run());
  } catch (error) {
    return { refused: (error as { readonly reason?: unknown }).reason };
  }
}

/** The result without epochs and wall clock, which differ between streams. */
function comparable(result: unknown): unknown {
  const hidden = new Set(["epoch", "createTime", "updateTime", "timestamp"]);
  const text = JSON.stringify(result, (name, member: unknown) =>
    hidden.has(name) ? undefined : member,
  ) as string | undefined;
  return text === undefined ? undefined : (JSON.parse(text) as unknown);
}

/**
 * Whether no call makes a value null: a custom stream with `get` cannot distinguish null from
 * absent.
 */
function keepsNoNull(made: Call): boolean {
  if (made.kind === "set") return made.data !== null;
  if (made.kind !== "update") return true;
  // Only an append to null and a set of the root can leave null.
  return made.ops.every((each) => !("value" in each) || each.path !== "" || each.value !== null);
}

describe("a custom stream", () => {
  const services = servicesOf();

  /**
   * Makes the same calls on an ordinary stream and on a custom one, and compares all visible
   * results.
   */
  const same = async (
    calls: readonly Call[],
    adapterOf: (stock: Table) => Parameters<StreamService["createStream"]>[1],
  ) => {
    const service = await services();
    await service.createStream("custom", adapterOf(table()));
    const [ordinary, custom] = await Promise.all(
      ["ordinary", "custom"].map((streamName) => service.subscribe({ ...GROUP, streamName })),
    );
    for (const made of calls) {
      const expected = await outcome(service, "ordinary", made);
      expect(await outcome(service, "custom", made)).toEqual(expected);
    }
    for (const streamName of ["ordinary", "custom"])
      await service.send({ ...GROUP, streamName, type: "end", data: 0 });
    const allOf = async (frames: NonNullable<typeof ordinary>) => {
      const all: unknown[] = [];
      for (;;) {
        const [frame] = await take(frames, 1);
        all.push(comparable(frame));
        if (frame?.kind === "event") return all;
      }
    };
    if (ordinary === undefined || custom === undefined) throw new Error("No subscription.");
    expect(await allOf(custom)).toEqual(await allOf(ordinary));
    await service.close();
  };

  it("without update equals an ordinary one, including events and errors of steps", async () => {
    const calls = fc.array(call.filter(keepsNoNull), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(calls, (made) =>
        // Listed values have no ids here, and equal ones are indistinguishable.
        same(made, (stock) => without(stock, "update", "list")),
      ),
      { numRuns: 150 },
    );
  });

  it("with only its writes outside equals an ordinary one, including null", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 12 }), (made) =>
        same(made, (stock) => only(stock, "set", "delete")),
      ),
      { numRuns: 150 },
    );
  });

  it("with an update that returns its values equals an ordinary one", async () => {
    // The skipped steps of an outside update are unknown.
    const made = call.filter(keepsNoNull).filter(({ kind }) => kind !== "update");
    const plainUpdate = fc.record({
      kind: fc.constant("update" as const),
      itemId,
      ops: fc.array(fc.record({ type: fc.constant("set" as const), path: legalKey, value: json }), {
        minLength: 1,
        maxLength: 3,
      }),
    });
    const objects = fc.oneof(
      plainUpdate,
      made.map((each): Call => (each.kind === "set" ? { ...each, data: { x: each.data } } : each)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(objects, { maxLength: 12 }), (calls) =>
        same(calls, (stock) => ({
          ...without(stock, "list"),
          update(input) {
            const before = stock.rows.get(input.item_id) ?? null;
            stock.update(input);
            return { old_value: before, new_value: stock.rows.get(input.item_id) };
          },
        })),
      ),
      { numRuns: 100 },
    );
  });
});
