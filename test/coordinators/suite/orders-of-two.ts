import { describe, expect, it } from "vitest";
import type { OpenFleet } from "./fleet.ts";
import { fleetsOf, obey } from "./fleet.ts";

/** The promises of orders to two processes of a fleet. */
export function describeOrdersOfTwo(open: OpenFleet): void {
  const fleets = fleetsOf(open);
  const joinTwo = async () => {
    const fleet = fleets();
    return [await fleet.join(), await fleet.join()] as const;
  };

  describe("orders of two processes", () => {
    it("are carried out at both before they are answered, whichever issues them (G11)", async () => {
      const [a, b] = await joinTwo();
      const [seenA, seenB] = [obey(a.orders, "a"), obey(b.orders, "b")];
      expect((await a.orders.issue('"é"')).toSorted()).toEqual(['a "é"', 'b "é"']);
      expect([seenA, seenB]).toEqual([['"é"'], ['"é"']]);
      expect((await b.orders.issue("2")).toSorted()).toEqual(["a 2", "b 2"]);
    });

    it("wait for the slower process (G11)", async () => {
      const [a, b] = await joinTwo();
      obey(a.orders, "a");
      let release = () => {};
      const begun = new Promise<void>((resolve) => {
        b.orders.serve(async () => {
          resolve();
          await new Promise<void>((go) => (release = go));
          return "b";
        });
      });
      let isAnswered = false;
      const issuing = a.orders.issue("1").finally(() => (isAnswered = true));
      await begun;
      // Both processes agree on something later, and the order still waits.
      await a.registry.provide("f");
      expect(isAnswered).toBe(false);
      release();
      expect((await issuing).toSorted()).toEqual(["a 1", "b"]);
    });

    it("are carried out in one order at both, each once", async () => {
      const [a, b] = await joinTwo();
      const [seenA, seenB] = [obey(a.orders, "a"), obey(b.orders, "b")];
      const issued = Array.from({ length: 30 }, (_, i) => String(i));
      await Promise.all(issued.map((order, i) => (i % 2 === 0 ? a : b).orders.issue(order)));
      expect(seenA).toEqual(seenB);
      expect(seenA.toSorted()).toEqual(issued.toSorted());
    });

    it("fail when one process fails, and are carried out at the other", async () => {
      const [a, b] = await joinTwo();
      b.orders.serve(() => Promise.reject(new Error("Failed.")));
      const seen = obey(a.orders, "a");
      const failed = { name: "StreamError", reason: "OUTCOME_UNKNOWN" };
      await expect(a.orders.issue("1")).rejects.toMatchObject(failed);
      await expect(b.orders.issue("2")).rejects.toThrow("at 1 of 2 processes");
      expect(seen).toEqual(["1", "2"]);
    });

    it("do not reach a process that has closed, which may not deliver", async () => {
      const [a, b] = await joinTwo();
      obey(a.orders, "a");
      const seen = obey(b.orders, "b");
      await b.close();
      expect(b.orders.mayDeliver()).toBe(false);
      expect(await a.orders.issue("1")).toEqual(["a 1"]);
      expect(seen).toEqual([]);
      await expect(b.orders.issue("2")).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    });
  });
}
