import { describe, expect, it } from "vitest";
import type { GroupEvent } from "../../../src/core/change.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import { changesSince, commit, groupOf, listen, put, remove, testClock } from "./fixture.ts";
import { storesOf } from "./setup.ts";

const message = (text: string) => ({ type: "message", itemId: undefined, value: Value.of(text) });

/** The events that watchers receive. */
export function describeFeed(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");

  describe("feed", () => {
    it("announces each logged change once, in log order (G2)", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      await commit(store, group, put("a", 1), put("b", 2));
      await commit(store, group, remove("a"));
      await store.run(group, [
        { mutations: [put("c", 1)] },
        { mutations: [put("c", 2, 0)] },
        { mutations: [put("c", 3)] },
      ]);
      await recorder.received(5);
      expect(recorder.events).toEqual(await changesSince(store, group, 0));
    });

    it("announces to every watcher of the group and of no other", async () => {
      const { store } = await stores();
      const recorders = await Promise.all([
        listen(store, group),
        listen(store, group),
        listen(store, groupOf("roo")),
      ]);
      const other = await listen(store, groupOf("room", "stream2"));
      await commit(store, group, put("a", 1));
      await commit(store, groupOf("room", "stream2"), put("z", 1));
      await Promise.all([recorders[0]?.received(1), recorders[1]?.received(1), other.received(1)]);
      expect(recorders.map((recorder) => recorder.events.map(({ itemId }) => itemId))).toEqual([
        ["a"],
        ["a"],
        [],
      ]);
      expect(other.events).toMatchObject([{ itemId: "z" }]);
    });

    it("delivers no earlier events to a watcher, and none after it stopped", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 1));
      const recorder = await listen(store, group);
      const stayed = await listen(store, group);
      await commit(store, group, put("b", 1));
      await recorder.received(1);
      recorder.stop();
      recorder.stop();
      await commit(store, group, put("c", 1));
      await stayed.received(2);
      expect(recorder.events).toMatchObject([{ itemId: "b" }]);
    });

    it("stops a watcher in the middle of a batch", async () => {
      const { store } = await stores();
      const received: GroupEvent[] = [];
      const stop = await store.watch(group, (event) => {
        received.push(event);
        stop();
      });
      const stayed = await listen(store, group);
      await commit(store, group, put("a", 1), put("b", 1));
      await stayed.received(2);
      expect(received).toMatchObject([{ itemId: "a" }]);
    });

    it("keeps one order for all watchers when one of them writes", async () => {
      const { store } = await stores();
      let answers = 0;
      const writes: Promise<unknown>[] = [];
      const stop = await store.watch(group, () => {
        if (answers++ < 3) writes.push(commit(store, group, put(`answer${answers}`, 1)));
      });
      const recorder = await listen(store, group);
      await commit(store, group, put("a", 1), put("b", 1));
      await recorder.received(5);
      await Promise.all(writes);
      stop();
      expect(
        recorder.events.map((event) => event.kind === "change" && event.position.revision),
      ).toEqual([1, 2, 3, 4, 5]);
    });

    it("announces transient events between the changes they were sent between", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      const first = await commit(store, group, put("a", 1));
      await store.broadcast(group, message("one"));
      await store.broadcast(group, { type: "typing", itemId: "a", value: Value.of({ on: true }) });
      await commit(store, group, put("a", 2));
      await recorder.received(4);
      expect(recorder.events).toMatchObject([
        { kind: "change", position: { revision: 1 } },
        { kind: "event", type: "message", itemId: undefined, after: first.position },
        { kind: "event", type: "typing", itemId: "a", after: first.position },
        { kind: "change", position: { revision: 2 } },
      ]);
      expect(recorder.events[2]?.value.json()).toEqual({ on: true });
    });

    it("applies concurrent calls in the order they were made", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      const calls: Promise<unknown>[] = [];
      for (let i = 0; i < 20; i++) {
        calls.push(commit(store, group, put("a", i)), store.broadcast(group, message(String(i))));
      }
      await Promise.all(calls);
      await recorder.received(40);
      expect(recorder.events.map((event) => `${event.kind} ${event.value.text}`)).toEqual(
        Array.from({ length: 20 }, (_, i) => [`change ${i}`, `event "${i}"`]).flat(),
      );
    });

    it("gives changes and transient events increasing timestamps of one clock", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      const start = clock.nowMs;
      const recorder = await listen(store, group);
      await store.broadcast(group, message("first"));
      await commit(store, group, put("a", 1));
      await store.broadcast(group, message("second"));
      await store.broadcast(group, message("third"));
      await commit(store, group, put("a", 2));
      await recorder.received(5);
      expect(recorder.events.map(({ timestamp }) => timestamp)).toEqual(
        [0, 1, 2, 3, 4].map((ms) => start + ms),
      );
      expect(await store.heads([group])).toMatchObject([{ timestamp: start + 4 }]);
    });

    it("neither logs a transient event nor creates a group for it", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      await store.broadcast(group, message("hello"));
      await recorder.received(1);
      expect(recorder.events).toMatchObject([{ after: { epoch: "", revision: 0 } }]);
      expect(await store.heads([group])).toMatchObject([{ position: { epoch: "", revision: 0 } }]);
      expect(
        await store.since(group, { epoch: "", revision: 0 }, { maxCount: 10, maxBytes: 1e6 }),
      ).toMatchObject({ changes: [] });
      expect(await store.allGroups({ limit: 10 })).toEqual({ groups: [], streamCount: 0 });
      await commit(store, group, put("a", 1));
      await store.broadcast(group, message("hello"));
      expect(await changesSince(store, group, 0)).toMatchObject([{ itemId: "a" }]);
    });
  });

  describe("closing", () => {
    it("refuses every later call and closes more than once", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 1));
      const reader = await store.snapshot(group);
      await Promise.all([store.close(), store.close()]);
      await store.close();
      const unavailable = { reason: "STORE_UNAVAILABLE" };
      const limits = { maxCount: 1, maxBytes: 1 };
      await expect(store.run(group, [{ mutations: [put("a", 2)] }])).rejects.toMatchObject(
        unavailable,
      );
      await expect(store.broadcast(group, message("x"))).rejects.toMatchObject(unavailable);
      await expect(store.get(group, "a")).rejects.toMatchObject(unavailable);
      await expect(store.heads([group])).rejects.toMatchObject(unavailable);
      await expect(store.list(group, limits)).rejects.toMatchObject(unavailable);
      await expect(store.snapshot(group)).rejects.toMatchObject(unavailable);
      await expect(store.since(group, { epoch: "", revision: 0 }, limits)).rejects.toMatchObject(
        unavailable,
      );
      await expect(store.groups("stream", { limit: 1 })).rejects.toMatchObject(unavailable);
      await expect(store.allGroups({ limit: 1 })).rejects.toMatchObject(unavailable);
      await expect(store.watch(group, () => {})).rejects.toMatchObject(unavailable);
      await expect(reader.next(limits)).rejects.toMatchObject(unavailable);
      reader.close();
    });

    it("finishes the writes in progress", async () => {
      const { store } = await stores();
      const writes = Array.from({ length: 30 }, (_, i) => commit(store, group, put(`i${i}`, i)));
      await store.close();
      const done = await Promise.all(writes);
      expect(done.map(({ position }) => position.revision)).toEqual(done.map((_, i) => i + 1));
    });
  });
}
