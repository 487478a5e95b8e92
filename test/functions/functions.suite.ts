import { describe, expect, it } from "vitest";
import type { Host } from "../support/hosts/host.ts";
import { latch, testServiceOn, until } from "../support/hosts/test-service.ts";

/** Calls of functions that run in a host. */
export function describeFunctions(host: Host): void {
  const testService = testServiceOn(host);
  /** Expects a registration to be refused, in hosts that receive its outcome. */
  const refused = async (registering: Promise<unknown>, code: string) => {
    if (host.can.results) await expect(registering).rejects.toMatchObject({ code });
    else await registering.catch(() => {});
  };

  describe("functions", () => {
    it("are called by id, with a payload, and return a result", async () => {
      const { join } = await testService();
      const client = await join();
      await client.registerFunction("math::add", ({ a, b }) => a + b);
      expect(await client.trigger({ function_id: "math::add", payload: { a: 2, b: 3 } })).toBe(5);
    });

    it("receive the metadata of a call, or none when the call has none", async () => {
      const { join } = await testService();
      const client = await join();
      await client.registerFunction("f", (payload, { metadata }) => [payload, metadata ?? "none"]);
      const call = (more: object) => client.trigger({ function_id: "f", ...more });
      expect(await call({ payload: null, metadata: { a: [1] } })).toEqual([null, { a: [1] }]);
      expect(await call({ payload: 1 })).toEqual([1, "none"]);
    });

    it("distinguish no result from null", async () => {
      const { join } = await testService();
      const client = await join();
      await client.registerFunction("nothing", () => {});
      await client.registerFunction("null", () => null);
      expect(await client.trigger({ function_id: "nothing" })).toBeUndefined();
      expect(await client.trigger({ function_id: "null" })).toBe(null);
    });

    it("carry any JSON both ways", async () => {
      const { join } = await testService();
      const client = await join();
      await client.registerFunction("echo", (payload) => payload);
      for (const payload of [0, -1.5, "ünï\u{1f600}\u0000", true, [], {}, { a: [null, { b: [] }] }])
        expect(await client.trigger({ function_id: "echo", payload })).toEqual(payload);
    });

    it("with the same id receive its calls in turn", async () => {
      const { join } = await testService();
      const [first, second] = [await join(), await join()];
      await first.registerFunction("who", () => "first");
      await second.registerFunction("who", () => "second");
      const results = [];
      for (let i = 0; i < 6; i++) results.push(await first.trigger({ function_id: "who" }));
      expect(results.filter((result) => result === "first")).toHaveLength(3);
      expect(results.filter((result) => result === "second")).toHaveLength(3);
    });

    it("without a provider are not found", async () => {
      const { join } = await testService();
      const client = await join();
      await expect(client.trigger({ function_id: "nobody" })).rejects.toMatchObject({
        code: "function_not_found",
      });
      const registration = await client.registerFunction("somebody", () => 1);
      expect(await client.trigger({ function_id: "somebody" })).toBe(1);
      await registration.unregister();
      await expect(client.trigger({ function_id: "somebody" })).rejects.toMatchObject({
        code: "function_not_found",
      });
    });

    it("that throw fail the call with their message", async () => {
      const { join } = await testService();
      const client = await join();
      await client.registerFunction("throws", () => {
        throw new Error("the kettle is empty");
      });
      await expect(client.trigger({ function_id: "throws" })).rejects.toMatchObject({
        code: "invocation_failed",
        message: expect.stringContaining("the kettle is empty") as unknown,
      });
    });

    it("that hang fail the call at its deadline", async () => {
      const { join } = await testService();
      const client = await join();
      let signal: AbortSignal | undefined;
      await client.registerFunction("hangs", (_payload, context) => {
        signal = context.signal;
        return new Promise(() => {});
      });
      await expect(client.trigger({ function_id: "hangs", timeout_ms: 30 })).rejects.toMatchObject({
        code: "TIMEOUT",
      });
      if (host.can.signals)
        await until(
          () => signal?.aborted,
          (aborted) => aborted === true,
        );
    });

    it("fail the call when their host disconnects during it, and other providers receive later calls", async () => {
      const { join } = await testService();
      const [caller, doomed, other] = [await join(), await join(), await join()];
      const called = latch();
      await doomed.registerFunction("work", () => {
        called.open();
        return new Promise(() => {});
      });
      const result = caller.trigger({ function_id: "work" });
      await called.opened;
      await other.registerFunction("work", () => "done");
      await doomed.vanish();
      await expect(result).rejects.toMatchObject({ code: "invocation_stopped" });
      for (let i = 0; i < 3; i++)
        expect(await caller.trigger({ function_id: "work" })).toBe("done");
    });

    it.each(["stream::set", "stream::list_all", "engine::workers::register", "millrace::anything"])(
      "cannot have the reserved id %s",
      async (id) => {
        const { join } = await testService();
        const client = await join();
        await refused(
          client.registerFunction(id, () => "mine"),
          "FORBIDDEN",
        );
        const called = await client.trigger({ function_id: id }).catch((error: unknown) => error);
        expect(called).not.toBe("mine");
      },
    );

    it.each([
      ["an empty id", ""],
      ["a control character", "a\u0000b"],
      ["300 bytes", "x".repeat(300)],
    ])("cannot have %s", async (_what, id) => {
      const { join } = await testService();
      const client = await join();
      await refused(
        client.registerFunction(id, () => 1),
        "deserialization_error",
      );
      await expect(client.trigger({ function_id: id })).rejects.toMatchObject({
        code: "deserialization_error",
      });
    });

    it("with an oversized result or payload fail the call and stay registered", async () => {
      const { join } = await testService();
      const client = await join();
      await client.registerFunction("large", () => "x".repeat(10 * 1024 * 1024));
      await client.registerFunction("length", (payload: string) => payload.length);
      await expect(client.trigger({ function_id: "large" })).rejects.toMatchObject({
        code: "invocation_failed",
      });
      await expect(
        client.trigger({ function_id: "length", payload: "x".repeat(5 * 1024 * 1024) }),
      ).rejects.toMatchObject({ code: "payload_too_large" });
      expect(await client.trigger({ function_id: "length", payload: "abc" })).toBe(3);
    });

    it("refuse calls beyond the limit as overloaded instead of queueing them", async () => {
      const { join } = await testService({ functionLimits: { maxInFlightPerFunction: 2 } });
      const client = await join();
      const done = latch();
      await client.registerFunction("slow", () => done.opened);
      const first = client.trigger({ function_id: "slow" });
      const second = client.trigger({ function_id: "slow" });
      await expect(client.trigger({ function_id: "slow" })).rejects.toMatchObject({
        code: "overloaded",
      });
      done.open();
      await Promise.all([first, second]);
      expect(await client.trigger({ function_id: "slow" })).toBeUndefined();
    });

    it("may call one another, and the built-in ones", async () => {
      const { join } = await testService();
      const client = await join();
      await client.registerFunction("outer", async ({ n }) => {
        const inner = await client.trigger({ function_id: "inner", payload: { n } });
        return `outer ${String(inner)}`;
      });
      await client.registerFunction("inner", async ({ n }) => {
        const item = { stream_name: "s", group_id: "g", item_id: "i" };
        await client.trigger({ function_id: "stream::set", payload: { ...item, data: n } });
        return client.trigger({ function_id: "stream::get", payload: item });
      });
      expect(await client.trigger({ function_id: "outer", payload: { n: 7 } })).toBe("outer 7");
    });

    if (host.can.causes) {
      it("that call themselves endlessly are stopped, even without async functions", async () => {
        const { join } = await testService();
        const client = await join();
        let calls = 0;
        await client.registerFunction("again", () => {
          calls++;
          return Promise.resolve().then(() => client.trigger({ function_id: "again" }));
        });
        await expect(client.trigger({ function_id: "again" })).rejects.toMatchObject({
          message: expect.stringContaining("16 long") as unknown,
        });
        expect(calls).toBeLessThan(20);
      });

      it("that call themselves endlessly are stopped", async () => {
        const { join } = await testService();
        const client = await join();
        let calls = 0;
        await client.registerFunction("again", async () => {
          calls++;
          await client.trigger({ function_id: "again" });
        });
        await expect(client.trigger({ function_id: "again" })).rejects.toMatchObject({
          code: "invocation_failed",
          message: expect.stringContaining("16 long") as unknown,
        });
        expect(calls).toBe(16);
      });
    }
  });
}
