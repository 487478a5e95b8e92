import { describe } from "vitest";
import { HeldItems } from "../support/checker/index.ts";
import { at, put } from "./story.ts";
import { testGood } from "./verdict.ts";

describe("the checker", () => {
  testGood([
    { title: "an empty history", record: () => {} },
    {
      title: "a group subscription from before the first write to the final listing",
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        sub.heartbeat(0);
        story.set("a", "a1", 1);
        sub.change("create", "a", "a1", 1);
        story.set("a", "a2", 2);
        story.set("b", null, 3);
        sub.change("update", "a", "a2", 2);
        sub.change("create", "b", null, 3);
        sub.heartbeat(3);
        story.delete("a", 4);
        sub.change("delete", "a", "a2", 4);
        story.final([["b", null, 3]], 4);
        sub.end();
      },
    },
    {
      title: "a resume that replays, one at head, one from the origin, and an honest fresh sync",
      options: { expectResume: true },
      record(story) {
        story.set("a", "a1", 1);
        const one = story.subscribe();
        one.sync([["a", "a1", 1]], 1);
        one.end("cut");
        story.set("a", "a2", 2);
        const two = story.subscribe({ from: 1 });
        two.resumed(1, 2);
        two.change("update", "a", "a2", 2);
        two.end("server");
        const three = story.subscribe({ from: 2 });
        three.resumed(2, 2);
        const four = story.subscribe({ from: 0 });
        four.resumed(0, 2);
        four.change("create", "a", "a1", 1);
        four.change("update", "a", "a2", 2);
        story.subscribe({ from: { epoch: "old", revision: 7 } }).sync([["a", "a2", 2]], 2);
        story.subscribe({ from: 9 }).sync([["a", "a2", 2]], 2);
        story.subscribe({ from: 1, resumeOptional: true }).sync([["a", "a2", 2]], 2);
        story.final([["a", "a2", 2]], 2);
      },
    },
    {
      title: "a subscriber with deltas that is cut, resumes and falls behind",
      options: { expectResume: true },
      record(story) {
        const held = new HeldItems();
        const one = story.subscribe({ deltas: held });
        story.set("b", "b0", 1);
        one.sync([["b", "b0"]], 1);
        story.set("a", "a1", 2);
        one.change("create", "a", "a1", 2);
        story.set("a", "a12", 3);
        one.append("a", "2", 2, 3);
        one.end("cut");
        story.set("a", "a123", 4);
        story.set("b", "b01", 5);
        const two = story.subscribe({ from: 3, deltas: held });
        two.resumed(3, 5);
        two.append("a", "3", 3, 4);
        // Its snapshot had no revisions.
        two.append("b", "1", 1, 5);
        two.sync([["a", "a123", 4]], 5, { last: false });
        two.end("cut");
        story.set("a", "a1234", 6);
        const three = story.subscribe({ from: 5, deltas: held });
        three.resumed(5, 6);
        three.append("a", "4", 4, 6);
        story.final(
          [
            ["b", "b01", 5],
            ["a", "a1234", 6],
          ],
          6,
        );
      },
    },
    {
      title: "a subscriber with a window and deltas, which receives changes of older items",
      record(story) {
        for (const [i, item] of ["a", "b", "c"].entries()) story.set(item, item, i + 1);
        const all = story.subscribe({ subscriber: "all" });
        const items = ["a", "b", "c"].map((item, i) => [item, item, i + 1] as const);
        all.sync(items, 3);
        const sub = story.subscribe({ window: 2, deltas: new HeldItems() });
        sub.sync(items.slice(1), 3);
        story.set("a", "aa", 4);
        sub.append("a", "a", 1, 4);
        all.change("update", "a", "aa", 4);
        story.set("c", "cc", 5);
        sub.append("c", "c", 3, 5);
        all.change("update", "c", "cc", 5);
        story.final(
          [
            ["a", "aa", 4],
            ["b", "b", 2],
            ["c", "cc", 5],
          ],
          5,
        );
      },
    },
    {
      title: "a subscriber that fell behind and received a replay, then a fresh sync",
      record(story) {
        const sub = story.subscribe({ slow: true });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        sub.change("create", "a", "a1", 1);
        for (const revision of [2, 3, 4]) story.set("a", `a${revision}`, revision);
        sub.resumed(1, 4);
        sub.change("update", "a", "a2", 2);
        sub.sync([["a", "a4", 4]], 4);
        story.final([["a", "a4", 4]], 4);
      },
    },
    {
      title: "a sync in parts that starts over",
      record(story) {
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        const sub = story.subscribe();
        sub.sync([["a", "a1", 1]], 2, { last: false });
        sub.sync([["a", "a1", 1]], 2, { last: false });
        sub.sync([["b", "b1", 2]], 2, { first: false });
        sub.heartbeat(2);
      },
    },
    {
      title: "an item subscription, whose revisions skip",
      record(story) {
        const sub = story.subscribe({ item: "a" });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        story.set("a", "a2", 3);
        story.set("b", "b2", 4);
        sub.change("create", "a", "a1", 1);
        sub.heartbeat(2);
        sub.change("update", "a", "a2", 3);
        sub.heartbeat(4);
        sub.resumed(3, 4);
        story.final(
          [
            ["a", "a2", 3],
            ["b", "b2", 4],
          ],
          4,
        );
      },
    },
    {
      title: "unknown outcomes that happened, did not, or were lost with the connection",
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.write([{ op: "set", item: "a", value: "happened" }]).unknown();
        story.write([{ op: "set", item: "a", value: "did not" }]).unknown();
        story.write([{ op: "update", item: "a", tag: "t" }]);
        story.write([{ op: "delete", item: "a" }]).unknown();
        story.write([{ op: "set", item: "a", value: "refused" }]).refused("REVISION_MISMATCH");
        sub.change("create", "a", "happened", 1);
        sub.change("update", "a", { tag: "t", n: 1 }, 2);
        sub.change("delete", "a", { n: 1, tag: "t" }, 3);
        story.get("a");
        story.final([], 3);
      },
    },
    {
      title: "unobserved changes with a possible explanation",
      record(story) {
        story.set("a", "a1", 1);
        story.write([{ op: "delete", item: "a" }]).unknown();
        story.write([{ op: "set", item: "b", value: "b1" }]).unknown();
        story.get("a");
        story.list([[["b", "b1", 3]], 3]);
        story.final([["b", "b1", 3]], 3);
      },
    },
    {
      title: "batches, acknowledged and unknown, complete or not at all",
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story
          .write(
            [
              { op: "set", item: "a", value: "a1" },
              { op: "set", item: "b", value: "b1" },
            ],
            { batch: true },
          )
          .acked({ position: { epoch: "e", revision: 2 } });
        sub.change("create", "a", "a1", 1);
        sub.change("create", "b", "b1", 2);
        story
          .write(
            [
              { op: "delete", item: "none" },
              { op: "set", item: "a", value: "a2" },
              { op: "delete", item: "b" },
            ],
            { batch: true },
          )
          .unknown();
        story
          .write(
            [
              { op: "set", item: "c", value: "c1" },
              { op: "set", item: "d", value: "d1" },
            ],
            { batch: true },
          )
          .unknown();
        sub.change("update", "a", "a2", 3);
        sub.end("cut");
        const again = story.subscribe({ from: 3 });
        again.resumed(3, 4);
        again.change("delete", "b", "b1", 4);
        story.final([["a", "a2", 3]], 4);
      },
    },
    {
      title: "a batch cut in two by the end of the connection and never seen again",
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story
          .write(
            [
              { op: "set", item: "a", value: "a1" },
              { op: "set", item: "b", value: "b1" },
            ],
            { batch: true },
          )
          .unknown();
        sub.change("create", "a", "a1", 1);
        sub.end("cut");
      },
    },
    {
      title: "a memory store that lost all data",
      options: { durable: false },
      record(story) {
        story.set("a", "a1", 1);
        const sub = story.subscribe();
        sub.sync([["a", "a1", 1]], 1);
        sub.end("cut");
        story.list([[], 0]);
        story.set("a", "a2", 1, "f");
        story.subscribe({ from: 1 }).sync([["a", "a2", 1]], 1, { epoch: "f" });
        story.final([["a", "a2", 1]], 1, "f");
      },
    },
    {
      title: "transient events to matching subscriptions",
      options: { expectEvents: true, slackMs: 0 },
      record(story) {
        const group = story.subscribe();
        group.sync([], 0);
        const item = story.subscribe({ item: "a", subscriber: "other" });
        item.sync([], 0);
        story.set("a", "a1", 1);
        group.change("create", "a", "a1", 1);
        item.change("create", "a", "a1", 1);
        const [one, two] = [story.send("one"), story.send("two", "a")];
        group.event("one", 11);
        group.event("two", 12, "a");
        item.event("two", 12, "a");
        one.acked();
        two.unknown();
        story.final([["a", "a1", 1]], 1);
      },
    },
    {
      title: "a listing whose pages were read at several positions",
      record(story) {
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        story.set("c", "c1", 3);
        const late = story.write([{ op: "delete", item: "a" }]);
        const later = story.write([{ op: "set", item: "a", value: "a5" }]);
        story.list(
          [[["a", "a1", 1]], 3],
          [[["b", "b1", 2]], 4],
          [
            [
              ["c", "c1", 3],
              ["a", "a5", 5],
            ],
            5,
          ],
        );
        late.acked({ position: { epoch: "e", revision: 4 } });
        later.acked({ position: { epoch: "e", revision: 5 } });
      },
    },
    {
      title: "snapshots of a door that reports no revisions of items",
      record(story) {
        story.set("a", "a1", 1);
        story.write([{ op: "set", item: "a", value: "a2" }]).unknown();
        story.subscribe().sync([["a", "a1"]], 1);
        story.subscribe({ subscriber: "other" }).sync([["a", "a2"]], 2);
        story.set("b", "b1", 3);
        story.subscribe({ subscriber: "third" }).sync(
          [
            ["a", "a2"],
            ["b", "b1"],
          ],
          3,
        );
        story.list([
          [
            ["a", "a2", 2],
            ["b", "b1", 3],
          ],
          3,
        ]);
      },
    },
    {
      title: "heartbeats in time",
      options: { heartbeatIntervalMs: 100, slackMs: 10 },
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.wait(100);
        sub.heartbeat(0);
        story.wait(100);
        sub.heartbeat(0);
        story.wait(50);
        sub.end();
        story.wait(500);
        story.final([], 0);
      },
    },
    {
      title: "an ended subscription that receives what was committed or sent before the response",
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        const other = story.subscribe({ subscriber: "other" });
        other.sync([], 0);
        const write = story.write([put("a", "a1")]);
        const sent = story.send("x");
        sub.handle.revoked();
        write.acked({ position: at(1) });
        sent.acked();
        sub.change("create", "a", "a1", 1);
        sub.event("x", 11);
        sub.end("server");
        story.set("a", "a2", 2);
        other.change("create", "a", "a1", 1);
        other.change("update", "a", "a2", 2);
        story.final([["a", "a2", 2]], 2);
      },
    },
  ]);
});
