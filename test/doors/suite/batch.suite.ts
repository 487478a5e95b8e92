import type { Mutation, UpdateStep } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { textOfBytes } from "../../support/doors/values.ts";

const MiB = 1024 * 1024;

/** Batch: all or nothing. */
export function batchSuite(door: Door, kind: StoreKind): void {
  describe("batch", () => {
    const at = openDoor(door, kind);
    const group = () => ({ streamName: uniqueName("batch"), groupId: "g" });
    const state = async (key: ReturnType<typeof group>) => {
      const { items, position } = await at.client.list(key);
      return { items: items.map(({ itemId, data }) => [itemId, data]), position };
    };

    it("applies changes in order, each on top of the ones before, at consecutive revisions", async () => {
      const key = group();
      await at.client.set({ ...key, itemId: "old", data: "gone soon" });
      const done = await at.client.batch({
        ...key,
        returnValues: true,
        mutations: [
          { set: { itemId: "a", data: { n: 1 } } },
          { update: { itemId: "a", ops: [{ type: "increment", path: "n", by: 1 }] } },
          { delete: { itemId: "missing" } },
          { delete: { itemId: "old" } },
          { set: { itemId: "old", data: null } },
          { update: { itemId: "fresh", ops: [{ type: "increment", path: "", by: 5 }] } },
        ],
      });
      const { epoch } = done.position;
      const position = (revision: number) => ({ epoch, revision });
      expect(done).toEqual({
        position: position(6),
        results: [
          {
            kind: "set",
            oldValue: undefined,
            newValue: { n: 1 },
            position: position(2),
            errors: [],
          },
          {
            kind: "update",
            oldValue: { n: 1 },
            newValue: { n: 2 },
            position: position(3),
            errors: [],
          },
          {
            kind: "delete",
            oldValue: undefined,
            newValue: undefined,
            position: undefined,
            errors: [],
          },
          {
            kind: "delete",
            oldValue: "gone soon",
            newValue: undefined,
            position: position(4),
            errors: [],
          },
          { kind: "set", oldValue: undefined, newValue: null, position: position(5), errors: [] },
          { kind: "update", oldValue: undefined, newValue: 5, position: position(6), errors: [] },
        ],
      });
      expect(await state(key)).toEqual({
        items: [
          ["a", { n: 2 }],
          ["old", null],
          ["fresh", 5],
        ],
        position: position(6),
      });
    });

    it("returns values only on request", async () => {
      const { results } = await at.client.batch({
        ...group(),
        mutations: [
          { set: { itemId: "a", data: 1 } },
          { set: { itemId: "a", data: 2 } },
          { update: { itemId: "a", ops: [] } },
          { delete: { itemId: "a" } },
        ],
      });
      expect(results).toHaveLength(4);
      for (const result of results)
        expect(result).toMatchObject({ oldValue: undefined, newValue: undefined });
    });

    it("of only deletes of missing items succeeds without a revision", async () => {
      const key = group();
      expect(await at.client.batch({ ...key, mutations: [{ delete: { itemId: "a" } }] })).toEqual({
        results: [
          {
            kind: "delete",
            oldValue: undefined,
            newValue: undefined,
            position: undefined,
            errors: [],
          },
        ],
        position: { epoch: "", revision: 0 },
      });
    });

    it("checks each expectation against the group before the batch", async () => {
      const key = group();
      await at.client.set({ ...key, itemId: "a", data: 0 });
      const twice: Mutation = { set: { itemId: "a", data: 1, expectedRevision: 1 } };
      const done = await at.client.batch({
        ...key,
        mutations: [twice, twice, { set: { itemId: "new", data: 1, expectedRevision: 0 } }],
      });
      expect(done.position.revision).toBe(4);
      await expect(
        at.client.batch({
          ...key,
          mutations: [
            { delete: { itemId: "a" } },
            { set: { itemId: "a", data: 1, expectedRevision: 0 } },
          ],
        }),
      ).rejects.toMatchObject({
        code: "aborted",
        reason: "REVISION_MISMATCH",
        metadata: { index: "1", current_revision: "3" },
      });
      await expect(
        at.client.batch({ ...key, mutations: [{ delete: { itemId: "a", expectedRevision: 9 } }] }),
      ).rejects.toMatchObject({ metadata: { index: "0", current_revision: "3" } });
    });

    it("with one refused change changes nothing and names the change", async () => {
      const key = group();
      await at.client.set({ ...key, itemId: "a", data: 0 });
      const before = await state(key);
      const good: Mutation = { set: { itemId: "b", data: 1 } };
      const refused: readonly (readonly [Mutation, object])[] = [
        [
          { set: { itemId: "a", data: 1, expectedRevision: 9 } },
          { reason: "REVISION_MISMATCH", metadata: { index: "1", current_revision: "1" } },
        ],
        [
          { delete: { itemId: "a", expectedRevision: 0 } },
          { reason: "REVISION_MISMATCH", metadata: { index: "1", current_revision: "1" } },
        ],
        [
          { set: { itemId: "", data: 1 } },
          { reason: "NAME_INVALID", metadata: { index: "1", field: "mutations[1].set.item_id" } },
        ],
        [
          {
            update: {
              itemId: "a",
              ops: [
                { type: "set", path: "", value: textOfBytes(MiB - 8) },
                { type: "append", path: "", value: "too large" },
              ],
            },
          },
          { reason: "VALUE_TOO_LARGE", metadata: { index: "1" } },
        ],
      ];
      for (const [mutation, error] of refused) {
        await expect(
          at.client.batch({ ...key, mutations: [good, mutation, good] }),
        ).rejects.toMatchObject(error);
      }
      await expect(
        at.client.batch({ ...key, mutations: [good], expectedEpoch: "another" }),
      ).rejects.toMatchObject({ code: "aborted", reason: "EPOCH_MISMATCH" });
      expect(await state(key)).toEqual(before);
    });

    it("returns the errors of steps as data", async () => {
      const key = group();
      const ops: UpdateStep[] = [
        { type: "merge", value: 1 },
        { type: "set", path: "a", value: 1 },
      ];
      const { results } = await at.client.batch({
        ...key,
        mutations: [{ update: { itemId: "i", ops } }],
      });
      expect(results[0]?.errors).toEqual([
        { opIndex: 0, code: "merge.value.not_an_object", message: expect.any(String) },
      ]);
      expect(await at.client.get({ ...key, itemId: "i" })).toMatchObject({ data: { a: 1 } });
    });

    it("accepts 1 to 1,000 changes", async () => {
      const key = group();
      const mutations = (count: number): Mutation[] =>
        Array.from({ length: count }, (_, i) => ({ set: { itemId: `i${i}`, data: i } }));
      for (const count of [0, 1001]) {
        await expect(
          at.client.batch({ ...key, mutations: mutations(count) }),
        ).rejects.toMatchObject({
          code: "invalid_argument",
          reason: "REQUEST_INVALID",
          metadata: { field: "mutations" },
          message: expect.stringContaining("1 to 1000"),
        });
      }
      const { position, results } = await at.client.batch({ ...key, mutations: mutations(1000) });
      expect(position.revision).toBe(1000);
      expect(results.at(-1)?.position).toEqual(position);
    });

    it("commits nothing when the requested values do not fit into a response", async () => {
      const key = group();
      const large = textOfBytes(MiB);
      for (const itemId of ["a", "b", "c", "d"])
        await at.server.service.set({ ...key, itemId, data: large });
      const before = (await at.client.list({ ...key, pageSize: 1 })).position;
      const mutations: Mutation[] = ["a", "b", "c", "d"].map((itemId) => ({ delete: { itemId } }));
      await expect(
        at.client.batch({ ...key, mutations, returnValues: true }),
      ).rejects.toMatchObject({ code: "resource_exhausted", reason: "RESPONSE_TOO_LARGE" });
      expect((await at.client.list({ ...key, pageSize: 1 })).position).toEqual(before);
      const few = await at.client.batch({
        ...key,
        mutations: mutations.slice(0, 2),
        returnValues: true,
      });
      expect(few.results.map(({ oldValue }) => oldValue === large)).toEqual([true, true]);
      expect((await at.client.batch({ ...key, mutations })).position.revision).toBe(8);
    });

    it("commits nothing when the errors of its steps do not fit into a response", async () => {
      const key = group();
      await at.client.set({ ...key, itemId: "i", data: "text" });
      const ops: UpdateStep[] = Array.from({ length: 1000 }, () => ({ type: "remove", path: "a" }));
      const mutations: Mutation[] = Array.from({ length: 30 }, () => ({
        update: { itemId: "i", ops },
      }));
      await expect(at.client.batch({ ...key, mutations })).rejects.toMatchObject({
        code: "resource_exhausted",
        reason: "RESPONSE_TOO_LARGE",
      });
      expect(await at.client.get({ ...key, itemId: "i" })).toMatchObject({ revision: 1 });
      const few = await at.client.batch({ ...key, mutations: mutations.slice(0, 5) });
      expect(few.results.map(({ errors }) => errors.length)).toEqual(Array(5).fill(1000));
    });
  });
}
