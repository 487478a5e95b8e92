import { describe, expect, it } from "vitest";
import type { OpenStore } from "./fixture.ts";
import { attempt, commit, contents, groupOf, mark, put, refusal, remove } from "./fixture.ts";
import { storesOf } from "./setup.ts";

/** Conditions under which a commit may take effect. */
export function describeExpectations(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");

  describe("expectations", () => {
    it.each([
      ["put", (expected: number) => put("a", 2, expected)],
      ["reduce", (expected: number) => mark("a", "x", expected)],
      ["delete", (expected: number) => remove("a", expected)],
    ])("compares the expected revision of a %s with the item's", async (_, mutation) => {
      const { store } = await stores();
      await commit(store, group, put("other", 1), put("a", "1"));
      const wrong = await refusal(store, group, [mutation(1)]);
      expect(wrong).toMatchObject({
        reason: "REVISION_MISMATCH",
        metadata: { current_revision: "2" },
      });
      expect(wrong.message).toContain("expected_revision");
      expect(await refusal(store, group, [mutation(0)])).toMatchObject({
        metadata: { current_revision: "2" },
      });
      expect(await attempt(store, group, [mutation(2)])).toMatchObject({
        ok: true,
        position: { revision: 3 },
      });
    });

    it("treats 0 as an item that must not exist", async () => {
      const { store } = await stores();
      expect(await refusal(store, group, [put("a", 1, 7)])).toMatchObject({
        reason: "REVISION_MISMATCH",
        metadata: { current_revision: "0" },
      });
      expect(await attempt(store, group, [put("a", 1, 0)])).toMatchObject({ ok: true });
      expect(await refusal(store, group, [put("a", 1, 0)])).toMatchObject({
        metadata: { current_revision: "1" },
      });
      await commit(store, group, remove("a"));
      expect(await attempt(store, group, [put("a", 1, 0)])).toMatchObject({ ok: true });
    });

    it("deletes a missing item that was expected to be missing, and refuses another expectation", async () => {
      const { store } = await stores();
      expect(await attempt(store, group, [remove("a", 0)])).toMatchObject({
        ok: true,
        results: [{ revision: undefined }],
      });
      expect(await refusal(store, group, [remove("a", 3)])).toMatchObject({
        reason: "REVISION_MISMATCH",
        metadata: { current_revision: "0" },
      });
    });

    it("checks every expectation against the group before the commit, and names the mutation", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 1), put("b", 1));
      const early = await attempt(store, group, [
        put("a", 2, 1),
        put("a", 3, 1),
        remove("b", 2),
        put("b", 2, 2),
      ]);
      expect(early).toMatchObject({ ok: true, position: { revision: 6 } });
      const late = await refusal(store, group, [put("x", 1), put("x", 2, 7)]);
      expect(late).toMatchObject({
        reason: "REVISION_MISMATCH",
        metadata: { current_revision: "0", index: "1" },
      });
      expect(await contents(store, group)).toEqual([
        ["a", 3],
        ["b", 2],
      ]);
    });

    it("compares the expected epoch with the group's", async () => {
      const { store } = await stores();
      expect(await refusal(store, group, [put("a", 1)], { expectedEpoch: "other" })).toMatchObject({
        reason: "EPOCH_MISMATCH",
        metadata: { current_epoch: "" },
      });
      expect(await attempt(store, group, [put("a", 1)], { expectedEpoch: "" })).toMatchObject({
        ok: true,
      });
      const [head] = await store.heads([group]);
      const epoch = head?.position.epoch ?? "";
      const error = await refusal(store, group, [put("a", 1), put("b", 2)], { expectedEpoch: "" });
      expect(error).toMatchObject({ reason: "EPOCH_MISMATCH", metadata: { current_epoch: epoch } });
      expect(error.message).toContain("expected_epoch");
      expect(await attempt(store, group, [put("a", 1)], { expectedEpoch: epoch })).toMatchObject({
        ok: true,
      });
    });

    it("accepts one of many concurrent writes that expect the same revision", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 0));
      const outcomes = await Promise.all(
        Array.from({ length: 50 }, (_, i) => attempt(store, group, [put("a", i, 1)])),
      );
      expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1);
      for (const outcome of outcomes) {
        if (!outcome.ok)
          expect(outcome.error).toMatchObject({ metadata: { current_revision: "2" } });
      }
    });
  });
}
