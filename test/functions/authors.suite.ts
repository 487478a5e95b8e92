import { describe, expect, it } from "vitest";
import type { StreamPayload } from "millrace";
import type { Host, HostClient } from "../support/hosts/host.ts";
import { type TestService, latch, recorder, testServiceOn } from "../support/hosts/test-service.ts";

const GROUP = { streamName: "s", groupId: "g" };
const group = { stream_name: "s", group_id: "g" };

/** The authors of what functions of a host write. */
export function describeFunctionAuthors(host: Host): void {
  const testService = testServiceOn(host);
  const set = async (client: HostClient, itemId: string) =>
    client.trigger({
      function_id: "stream::set",
      payload: { ...group, item_id: itemId, data: 1, author: "user:ann" },
    });
  const authorOf = async ({ service }: TestService, itemId: string) =>
    (await service.get({ ...GROUP, itemId }))?.author;

  describe("authors", () => {
    it("of what a function writes are the function, in items, changes and events", async () => {
      const test = await testService();
      const client = await test.join();
      const frames = await test.service.subscribe(GROUP);
      await frames.next();
      await client.registerFunction("chat::post", async () => {
        const item = { ...group, item_id: "a" };
        await set(client, "a");
        await client.trigger({ function_id: "stream::update", payload: { ...item, ops: [] } });
        await client.trigger({ function_id: "stream::send", payload: { ...group, data: 1 } });
        await set(client, "kept");
        await client.trigger({ function_id: "stream::delete", payload: item });
      });
      await client.trigger({ function_id: "chat::post" });
      const author = "function:chat::post";
      for (const type of ["create", "update", "message", "create", "delete"])
        expect((await frames.next()).value).toMatchObject({ type, author });
      expect(await authorOf(test, "kept")).toBe(author);
      await frames.return?.();
    });

    it("of what is written outside of any function are empty", async () => {
      const test = await testService();
      const client = await test.join();
      await client.registerFunction("f", () => {});
      await client.trigger({ function_id: "f" });
      await set(client, "a");
      expect(await authorOf(test, "a")).toBe("");
    });

    it("reach the functions of triggers, which write as themselves", async () => {
      const test = await testService();
      const [client, other] = [await test.join(), await test.join()];
      const events = recorder<StreamPayload>();
      await other.registerFunction("note", async (payload: StreamPayload, context) => {
        await events.handler(payload, context);
        if (payload.id === "a") await set(other, "b");
      });
      await other.registerTrigger({ type: "stream", function_id: "note", config: group });
      await client.registerFunction("post", async () => set(client, "a"));
      await test.service.set({ ...GROUP, itemId: "plain", data: 1 });
      await client.trigger({ function_id: "post" });
      await events.received(3);
      expect(events.calls.map(({ id, author }) => [id, author])).toEqual([
        ["plain", ""],
        ["a", "function:post"],
        ["b", "function:note"],
      ]);
      expect(Object.keys(events.calls[0] as object).at(-1)).toBe("author");
    });

    it("of a function that another one calls are its own, where calls carry their cause", async () => {
      const test = await testService();
      const client = await test.join();
      await client.registerFunction("inner", async () => set(client, "inner"));
      await client.registerFunction("outer", async () => {
        await client.trigger({ function_id: "inner" });
        await set(client, "outer");
      });
      await client.trigger({ function_id: "outer" });
      expect(await authorOf(test, "outer")).toBe("function:outer");
      // A worker without causes was running two functions.
      expect(await authorOf(test, "inner")).toBe(host.can.causes ? "function:inner" : "");
    });

    it("of functions that run side by side are their own, or empty", async () => {
      const test = await testService();
      const client = await test.join();
      const both = latch();
      let running = 0;
      for (const id of ["one", "two"]) {
        await client.registerFunction(id, async () => {
          running++;
          if (running === 2) both.open();
          await both.opened;
          await set(client, id);
          // Neither ends before both have written.
          if (--running === 0) done.open();
          await done.opened;
        });
      }
      const done = latch();
      await Promise.all(["one", "two"].map(async (id) => client.trigger({ function_id: id })));
      for (const id of ["one", "two"])
        expect(await authorOf(test, id)).toBe(host.can.causes ? `function:${id}` : "");
    });
  });
}
