import { describe, expect, it } from "vitest";
import { decideCommit } from "../../src/core/commit.ts";
import type { CommitContext, StoredItem } from "../../src/core/commit.ts";
import { StreamError } from "../../src/core/errors.ts";
import { opsText } from "../../src/core/op-text.ts";
import type { UpdateOp } from "../../src/core/ops.ts";
import { reduce } from "../../src/core/reduce.ts";
import type { Commit, Mutation } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { op } from "./op-builders.ts";

const stored = (itemId: string, revision: number, createdRevision = revision): StoredItem => ({
  item: {
    itemId,
    value: Value.of(`old ${itemId}`),
    revision,
    createTimeMs: 5,
    updateTimeMs: 6,
    author: "user:before",
  },
  createdRevision,
});
const put = (itemId: string, expectedRevision?: number): Mutation => ({
  kind: "put",
  itemId,
  value: Value.of("new"),
  expectedRevision,
});
const remove = (itemId: string): Mutation => ({ kind: "delete", itemId });

describe("decideCommit", () => {
  const context = (change: Partial<CommitContext> = {}): CommitContext => {
    const items = new Map(
      [stored("a", 4, 2), stored("b", 3)].map((item) => [item.item.itemId, item]),
    );
    return {
      head: { position: { epoch: "e1", revision: 4 }, timestamp: 1000 },
      lookup: (itemId) => items.get(itemId),
      recall: () => undefined,
      nowMs: 2000,
      floor: 0,
      newEpoch: () => {
        throw new Error("There is an epoch already.");
      },
      ...change,
    };
  };
  const fresh = (epochs: string[]): CommitContext =>
    context({
      head: { position: { epoch: "", revision: 0 }, timestamp: 0 },
      lookup: () => undefined,
      newEpoch: () => epochs.shift() ?? "none left",
    });
  const decide = (mutations: readonly Mutation[], where = context(), rest: Partial<Commit> = {}) =>
    decideCommit({ mutations, ...rest }, where);

  it("returns every written item before and after, with its place in creation order", () => {
    const decision = decide([put("a"), remove("b"), put("b"), put("c"), remove("c"), put("d")]);
    if (!decision.ok) throw decision.error;
    expect(decision.head).toEqual({ position: { epoch: "e1", revision: 10 }, timestamp: 2005 });
    const writes = Array.from(decision.writes, ([id, { before, after }]) => [
      id,
      before?.createdRevision,
      after?.createdRevision,
      after?.item.revision,
    ]);
    expect(writes).toEqual([
      ["a", 2, 2, 5],
      ["b", 3, 7, 7],
      ["c", undefined, undefined, undefined],
      ["d", undefined, 10, 10],
    ]);
    expect(decision.changes.map(({ type, value }) => `${type} ${value.json() as string}`)).toEqual([
      "update new",
      "delete old b",
      "create new",
      "create new",
      "delete new",
      "create new",
    ]);
  });

  it("generates an epoch only for the first change of a history", () => {
    const epochs = ["e2", "e3"];
    expect(decide([remove("a")], fresh(epochs))).toMatchObject({
      ok: true,
      head: { position: { epoch: "", revision: 0 } },
      changes: [],
    });
    expect(decide([put("a"), put("b")], fresh(epochs))).toMatchObject({
      ok: true,
      head: { position: { epoch: "e2", revision: 2 } },
    });
    expect(epochs).toEqual(["e3"]);
  });

  it("names the mutation in errors of commits of several mutations only", () => {
    const failing: Mutation = {
      kind: "reduce",
      bytes: 0,
      itemId: "a",
      reduce: () => {
        throw new StreamError("VALUE_TOO_DEEP", "Too deep.", { metadata: { field: "data" } });
      },
    };
    expect(decide([failing])).toMatchObject({ error: { metadata: { field: "data" } } });
    expect(decide([put("b"), failing])).toMatchObject({
      error: { metadata: { field: "data", index: "1" } },
    });
    expect(decide([put("b", 9)])).toMatchObject({ error: { metadata: { current_revision: "3" } } });
    expect(decide([put("a"), put("b", 9)])).toMatchObject({
      error: { metadata: { current_revision: "3", index: "1" } },
    });
    expect(decide([put("a"), put("b")], context(), { maxReturnBytes: 20 })).toMatchObject({
      error: { reason: "RESPONSE_TOO_LARGE", metadata: { index: "1" } },
    });
  });

  it("checks the epoch before the revisions, and those before it computes anything", () => {
    let computed = 0;
    const counting: Mutation = {
      kind: "reduce",
      bytes: 0,
      itemId: "a",
      reduce: () => ({ value: Value.of(computed++), errors: [] }),
    };
    expect(decide([counting, put("b", 9)], context(), { expectedEpoch: "e0" })).toMatchObject({
      error: { reason: "EPOCH_MISMATCH" },
    });
    expect(decide([counting, put("b", 9)])).toMatchObject({
      error: { reason: "REVISION_MISMATCH" },
    });
    expect(computed).toBe(0);
  });

  it("names the field and its allowed values in its messages", () => {
    const message = (decision: ReturnType<typeof decideCommit>) =>
      decision.ok ? "" : decision.error.message;
    expect(message(decide([put("a", 3)]))).toBe(
      "expected_revision is 3, but the item is at revision 4; it may be 4 or absent.",
    );
    expect(message(decide([put("x", 3)]))).toBe(
      "expected_revision is 3, but the item does not exist; it may be 0 (must not exist) or absent.",
    );
    expect(message(decide([put("a")], context(), { expectedEpoch: "e0" }))).toBe(
      'expected_epoch is not the epoch of the group; it may be "e1" or absent.',
    );
  });

  it("refuses a change after the last revision that is a safe integer", () => {
    const last = context({
      head: { position: { epoch: "e1", revision: Number.MAX_SAFE_INTEGER - 1 }, timestamp: 0 },
    });
    expect(decide([put("a")], last)).toMatchObject({
      ok: true,
      head: { position: { revision: Number.MAX_SAFE_INTEGER } },
    });
    const decision = decide([put("a"), put("b")], last);
    expect(decision).toMatchObject({ ok: false, error: { reason: "INTERNAL" } });
  });

  it("gives its changes increasing timestamps, after the last event and the floor of the clock", () => {
    const decision = decide([put("a"), put("b")], context({ nowMs: 900, floor: 3000 }));
    expect(decision).toMatchObject({ changes: [{ timestamp: 3001 }, { timestamp: 3002 }] });
  });

  describe("deltas", () => {
    const update = (itemId: string, ops: readonly UpdateOp[]): Mutation => ({
      kind: "reduce",
      bytes: 0,
      itemId,
      reduce: (current) => reduce(current, ops),
    });
    const long = Value.of({ text: "x".repeat(200), n: 1 });
    const append = op.append(["text"], "y");
    const deltasOf = (mutations: readonly Mutation[]) => {
      const decision = decide(mutations);
      if (!decision.ok) throw decision.error;
      return decision.changes.map(({ delta }) =>
        delta === undefined ? undefined : [delta.baseRevision, delta.text],
      );
    };

    it("are the steps that took effect, on the item as the mutation before left it", () => {
      expect(
        deltasOf([
          { kind: "put", itemId: "a", value: long },
          update("a", [append, op.increment("text", 1), op.increment("n", 2)]),
          put("b"),
          update("a", [op.increment("text", 1)]),
          update("a", [append]),
        ]),
      ).toEqual([
        undefined,
        [5, opsText([append, op.increment("n", 2)])],
        undefined,
        [6, "[]"],
        [8, opsText([append])],
      ]);
    });

    it("are given only to updates of known steps that are smaller than the value", () => {
      const opaque: Mutation = {
        kind: "reduce",
        bytes: 0,
        itemId: "a",
        reduce: () => ({ value: long, errors: [] }),
      };
      expect(
        deltasOf([
          update("a", [op.set("", long.json())]),
          opaque,
          update("new", [op.set("text", "x".repeat(100)), append]),
          { kind: "put", itemId: "a", value: Value.of({ n: 1 }) },
          update("a", [op.increment("n", 1)]),
          remove("a"),
        ]),
      ).toEqual([undefined, undefined, undefined, undefined, undefined, undefined]);
    });
  });
});
