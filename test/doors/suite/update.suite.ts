import type { Json, UpdateStep } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { nested, textOfBytes } from "../../support/doors/values.ts";

interface Row {
  readonly title: string;
  /** Absent: no item. */
  readonly before?: Json;
  readonly ops: readonly UpdateStep[];
  readonly after: Json;
  /** `index code` of each skipped step. */
  readonly errors?: readonly string[];
}

const MAX = Number.MAX_SAFE_INTEGER;
const KEYS_33 = Array.from({ length: 33 }, (_, i) => `k${i}`);

/** At least one row per rule; the reducer's own tests cover the rest. */
const ROWS: readonly Row[] = [
  { title: "writes {} without steps on a missing item", ops: [], after: {} },
  { title: "writes the same value without steps", before: [1], ops: [], after: [1] },
  {
    title: "replaces a key with set",
    before: { a: 1, b: 2 },
    ops: [{ type: "set", path: "a", value: null }],
    after: { a: null, b: 2 },
  },
  {
    title: "replaces the root with set",
    before: "x",
    ops: [{ type: "set", path: "", value: [1] }],
    after: [1],
  },
  {
    title: "merges shallowly at a key, at nested keys and at the root",
    before: { a: { x: 1, y: { z: 1 } }, "b.c": {} },
    ops: [
      { type: "merge", path: "a", value: { y: { w: 2 } } },
      { type: "merge", path: ["b.c"], value: { d: 1 } },
      { type: "merge", path: ["new", "deep"], value: { e: 1 } },
      { type: "merge", value: { f: 1 } },
    ],
    after: { a: { x: 1, y: { w: 2 } }, "b.c": { d: 1 }, new: { deep: { e: 1 } }, f: 1 },
  },
  {
    title: "adds to numbers, and to missing ones as 0, with increment and decrement",
    before: { n: 1.5, m: 3 },
    ops: [
      { type: "increment", path: "n", by: 2 },
      { type: "decrement", path: "m", by: 5 },
      { type: "increment", path: "fresh", by: MAX },
      { type: "decrement", path: "below", by: MAX },
      { type: "increment", path: "zero", by: 0 },
    ],
    after: { n: 3.5, m: -2, fresh: MAX, below: -MAX, zero: 0 },
  },
  { title: "starts a root counter", ops: [{ type: "decrement", path: "", by: 3 }], after: -3 },
  {
    title: "pushes to lists, concatenates texts and starts lists with append",
    before: { list: [1], text: "a", empty: null },
    ops: [
      { type: "append", path: "list", value: [2] },
      { type: "append", path: ["text"], value: "b" },
      { type: "append", path: "empty", value: "s" },
      { type: "append", path: "fresh", value: 1 },
      { type: "append", path: ["deep", "er"], value: "s" },
    ],
    after: { list: [1, [2]], text: "ab", empty: "s", fresh: [1], deep: { er: ["s"] } },
  },
  { title: "starts a root list", ops: [{ type: "append", path: [], value: 1 }], after: [1] },
  {
    title: "removes a key, present or not",
    before: { a: 1 },
    ops: [
      { type: "remove", path: "a" },
      { type: "remove", path: "b" },
    ],
    after: {},
  },
  {
    title: "sets the root to null with remove",
    before: { a: 1 },
    ops: [{ type: "remove", path: "" }],
    after: null,
  },
  {
    title: "reports a step that fails, and applies the others",
    before: { n: "text", list: {}, huge: MAX },
    ops: [
      { type: "increment", path: "n", by: 1 },
      { type: "set", path: "ok", value: 1 },
      { type: "append", path: "list", value: 1 },
      { type: "increment", path: "huge", by: 1 },
      { type: "merge", value: [] },
      { type: "merge", path: ["a", ""], value: {} },
      { type: "set", path: "k".repeat(257), value: 1 },
      { type: "merge", path: KEYS_33, value: {} },
      { type: "set", path: "constructor", value: 1 },
      { type: "set", path: "__proto__", value: 1 },
      { type: "merge", value: { prototype: 1 } },
      { type: "merge", value: { deep: nested(16) } },
      { type: "merge", value: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 0])) },
      { type: "remove", path: "n" },
    ],
    after: { list: {}, huge: MAX, ok: 1 },
    errors: [
      "0 increment.not_number",
      "2 append.type_mismatch",
      "3 increment.out_of_range",
      "4 merge.value.not_an_object",
      "5 merge.path.empty_segment",
      "6 set.path.segment_too_long",
      "7 merge.path.too_deep",
      "8 set.path.proto_polluted",
      "9 set.path.proto_polluted",
      "10 merge.value.proto_polluted",
      "11 merge.value.too_deep",
      "12 merge.value.too_many_keys",
    ],
  },
  {
    title: "never replaces a root that is no object by a path",
    before: "text",
    ops: [
      { type: "set", path: "a", value: 1 },
      { type: "merge", value: {} },
      { type: "increment", path: "a", by: 1 },
      { type: "append", path: "a", value: 1 },
      { type: "remove", path: "a" },
    ],
    after: "text",
    errors: [
      "0 set.target_not_object",
      "1 merge.target_not_object",
      "2 increment.target_not_object",
      "3 append.target_not_object",
      "4 remove.target_not_object",
    ],
  },
  {
    title: "treats a missing item as missing until a step succeeds",
    ops: [
      { type: "set", path: "__proto__", value: 1 },
      { type: "append", path: "", value: "text" },
    ],
    after: "text",
    errors: ["0 set.path.proto_polluted"],
  },
];

/** Update: steps, their errors, and errors of the whole call. */
export function updateSuite(door: Door, kind: StoreKind): void {
  describe("update", () => {
    const at = openDoor(door, kind);
    const item = () => ({ streamName: uniqueName("update"), groupId: "g", itemId: "i" });

    it.each(ROWS)("$title", async ({ before, ops, after, errors = [] }) => {
      const key = item();
      if (before !== undefined) await at.client.set({ ...key, data: before });
      const done = await at.client.update({ ...key, ops });
      expect(done).toMatchObject({
        oldValue: before,
        newValue: after,
        created: before === undefined,
        position: { revision: before === undefined ? 1 : 2 },
      });
      expect(done.errors.map(({ opIndex, code }) => `${opIndex} ${code}`)).toEqual(errors);
      for (const { message } of done.errors) expect(message).toMatch(/^[A-Z].*\.$/);
      expect((await at.client.get(key))?.data).toEqual(after);
    });

    it("accepts 1,000 steps", async () => {
      const ops: UpdateStep[] = Array.from({ length: 1000 }, () => ({
        type: "increment",
        path: "n",
        by: 1,
      }));
      expect((await at.client.update({ ...item(), ops })).newValue).toEqual({ n: 1000 });
    });

    it("counts all concurrent increments", async () => {
      const key = item();
      await Promise.all(
        Array.from({ length: 20 }, () =>
          at.client.update({ ...key, ops: [{ type: "increment", path: "n", by: 1 }] }),
        ),
      );
      expect(await at.client.get(key)).toMatchObject({ data: { n: 20 }, revision: 20 });
    });

    it("fails and changes nothing when the result is too large", async () => {
      const key = item();
      const data = textOfBytes(1024 * 1024 - 5);
      await at.client.set({ ...key, data });
      const ops: UpdateStep[] = [
        { type: "append", path: "", value: "fits" },
        { type: "append", path: "", value: "does not" },
      ];
      await expect(at.client.update({ ...key, ops })).rejects.toMatchObject({
        code: "invalid_argument",
        reason: "VALUE_TOO_LARGE",
      });
      const kept = await at.client.get(key);
      expect(kept?.revision).toBe(1);
      expect(kept?.data === data).toBe(true);
      await at.client.update({ ...key, ops: ops.slice(0, 1) });
    });

    it("fails and changes nothing when the result is too deep", async () => {
      const key = item();
      await at.client.set({ ...key, data: { a: 1 } });
      await expect(
        at.client.update({
          ...key,
          ops: [{ type: "append", path: ["a", "b"], value: nested(29) }],
        }),
      ).rejects.toMatchObject({ code: "invalid_argument", reason: "VALUE_TOO_DEEP" });
      expect(await at.client.get(key)).toMatchObject({ data: { a: 1 }, revision: 1 });
    });
  });
}
