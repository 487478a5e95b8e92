import { describe, expect, it } from "vitest";
import { MAX_ORDER_BYTES } from "../../../src/core/coordinator.ts";
import type { OpenFleet } from "./fleet.ts";
import { fleetsOf } from "./fleet.ts";

/** The promises of orders to one process. */
export function describeOrders(open: OpenFleet): void {
  const fleets = fleetsOf(open);

  describe("orders", () => {
    it("are carried out at the process that issues them, and return its result", async () => {
      const { orders } = await fleets().join();
      const seen: string[] = [];
      orders.serve(async (order) => {
        seen.push(order);
        return '{"ended":"é"}';
      });
      expect(await orders.issue('{"end":"ü"}')).toEqual(['{"ended":"é"}']);
      expect(seen).toEqual(['{"end":"ü"}']);
    });

    it("do nothing at a process without a handler", async () => {
      const { orders } = await fleets().join();
      expect(await orders.issue("1")).toEqual([]);
      orders.serve(async (order) => order);
      expect(await orders.issue("2")).toEqual(["2"]);
    });

    it("wait until the handler has carried them out, and do not wait for earlier orders", async () => {
      const { orders } = await fleets().join();
      const story: string[] = [];
      let release = () => {};
      const released = new Promise<void>((resolve) => (release = resolve));
      orders.serve(async (order) => {
        story.push(`begin ${order}`);
        if (order === "1") await released;
        story.push(`end ${order}`);
        return order;
      });
      const first = orders.issue("1").then(() => story.push("issued 1"));
      await orders.issue("2");
      story.push("issued 2");
      release();
      await first;
      expect(story).toEqual(["begin 1", "begin 2", "end 2", "issued 2", "end 1", "issued 1"]);
    });

    it("are carried out in the order in which they are issued, each once", async () => {
      const { orders } = await fleets().join();
      const seen: string[] = [];
      orders.serve(async (order) => {
        seen.push(order);
        return order;
      });
      const all = Array.from({ length: 50 }, (_, i) => String(i));
      expect(await Promise.all(all.map((order) => orders.issue(order)))).toEqual(
        all.map((order) => [order]),
      );
      expect(seen).toEqual(all);
    });

    it("fail when the handler fails or throws, and the next one is carried out", async () => {
      const { orders } = await fleets().join();
      orders.serve((order) => {
        if (order === "throw") throw new Error("Thrown.");
        return order === "fail" ? Promise.reject(new Error("Failed.")) : Promise.resolve(order);
      });
      const failed = { name: "StreamError", reason: "OUTCOME_UNKNOWN" };
      await expect(orders.issue("throw")).rejects.toMatchObject(failed);
      await expect(orders.issue("fail")).rejects.toMatchObject(failed);
      expect(await orders.issue("go on")).toEqual(["go on"]);
    });

    it("are carried out up to 64 KiB, and refused beyond", async () => {
      const { orders } = await fleets().join();
      orders.serve(async (order) => order);
      const largest = JSON.stringify("é".repeat((MAX_ORDER_BYTES - 2) / 2));
      expect(await orders.issue(largest)).toEqual([largest]);
      await expect(orders.issue(`${largest} `)).rejects.toThrow(
        new RangeError("The order has 65537 bytes; the maximum is 65536 bytes."),
      );
    });

    it("have one handler per process", async () => {
      const { orders } = await fleets().join();
      orders.serve(async (order) => order);
      expect(() => orders.serve(async (order) => order)).toThrow("already carries out orders");
    });

    it("reach a process, which may deliver, from its join to its close", async () => {
      const coordinator = await fleets().join();
      let lapses = 0;
      const stop = coordinator.orders.onLapse(() => lapses++);
      expect(coordinator.orders.mayDeliver()).toBe(true);
      await coordinator.close();
      expect(lapses).toBe(0);
      stop();
      stop();
    });
  });
}
