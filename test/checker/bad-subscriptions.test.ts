import { describe } from "vitest";
import type { Story, StorySubscription } from "./story.ts";
import { testBad } from "./verdict.ts";

/** Changes 1 to 4 of item a, all acknowledged, and a subscription that is at 2. */
function begun(story: Story): StorySubscription {
  const sub = story.subscribe();
  sub.sync([], 0);
  for (const revision of [1, 2, 3, 4]) story.set("a", `a${revision}`, revision);
  sub.change("create", "a", "a1", 1);
  sub.change("update", "a", "a2", 2);
  return sub;
}

describe("order, completeness and uniqueness", () => {
  testBad([
    {
      title: "a gap in a group subscription",
      breaks: ["G3"],
      says: /After revision 2 came revision 4: revision 3 is missing/,
      record: (story) => begun(story).change("update", "a", "a4", 4),
    },
    {
      title: "a change that arrives twice",
      breaks: ["G3", "clock"],
      says: /Revision 2 came again/,
      record: (story) => begun(story).change("update", "a", "a2", 2),
    },
    {
      title: "two swapped changes",
      breaks: ["G2", "G3", "clock"],
      says: /Revision 3 came after revision 4: out of order/,
      record(story) {
        const sub = begun(story);
        sub.change("update", "a", "a4", 4);
        sub.change("update", "a", "a3", 3);
      },
    },
    {
      title: "an epoch that changes within a segment",
      breaks: ["G3"],
      says: /The epoch changed from "e" to "f" without a new sync/,
      options: { durable: false },
      record(story) {
        const sub = begun(story);
        story.set("a", "f1", 1, "f");
        sub.change("create", "a", "f1", 1, { epoch: "f", timestamp: 100 });
      },
    },
    {
      title: "a missing change of the item of an item subscription",
      breaks: ["G3"],
      says: /After revision 0 came revision 3: revision 1 is missing/,
      record(story) {
        const sub = story.subscribe({ item: "a" });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        story.set("a", "a2", 3);
        sub.change("update", "a", "a2", 3);
      },
    },
    {
      title: "a change of another item in an item subscription",
      breaks: ["G3"],
      says: /A change of item "b" came to a subscription of item "a"/,
      record(story) {
        const sub = story.subscribe({ item: "a" });
        sub.sync([], 0);
        story.set("b", "b1", 1);
        sub.change("create", "b", "b1", 1);
      },
    },
    {
      title: "a frame before any sync",
      breaks: ["G3"],
      says: /A heartbeat frame came before any sync or resumed frame/,
      record: (story) => story.subscribe().heartbeat(0),
    },
    {
      title: "a change between the parts of a sync",
      breaks: ["G3"],
      says: /A change frame came between the parts of a sync/,
      record(story) {
        story.set("a", "a1", 1);
        const sub = story.subscribe();
        sub.sync([["a", "a1", 1]], 1, { last: false });
        story.set("a", "a2", 2);
        sub.change("update", "a", "a2", 2);
        sub.sync([], 1, { first: false });
      },
    },
    {
      title: "parts of a sync at two positions",
      breaks: ["G3"],
      says: /Parts of one sync are at different positions: 1 and 2/,
      record(story) {
        story.set("a", "a1", 1);
        const sub = story.subscribe();
        sub.sync([["a", "a1", 1]], 1, { last: false });
        story.set("b", "b1", 2);
        sub.sync([["b", "b1", 2]], 2, { first: false, timestamp: 10 });
      },
    },
    {
      title: "a fresh sync behind the position of the subscription",
      breaks: ["G3"],
      says: /A fresh sync at revision 1 goes back behind revision 2/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.set("a", "a1", 1);
        sub.change("create", "a", "a1", 1);
        story.set("a", "a2", 2);
        sub.change("update", "a", "a2", 2);
        sub.sync([["a", "a1", 1]], 1);
      },
    },
    {
      title: "a live subscription that lacks the last change at the end",
      breaks: ["G3"],
      says: /The subscription ends at revision 2, although the last change that it follows is 4/,
      record(story) {
        begun(story);
        story.final([["a", "a4", 4]], 4);
      },
    },
    {
      title: "a live item subscription that lacks the last change at the end",
      breaks: ["G3"],
      says: /The subscription ends at revision 0, although the last change that it follows is 1/,
      record(story) {
        story.subscribe({ item: "a" }).sync([], 0);
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        story.final(
          [
            ["a", "a1", 1],
            ["b", "b1", 2],
          ],
          2,
        );
      },
    },
    {
      title: "two observers that saw different changes under one revision",
      breaks: ["G2", "G1"],
      says: /Revision 1 of epoch "e" is reported differently .* value "a1" and value "x"/,
      record(story) {
        const [one, two] = [story.subscribe(), story.subscribe({ subscriber: "other" })];
        one.sync([], 0);
        two.sync([], 0);
        story.write([{ op: "set", item: "a", value: "a1" }]).unknown();
        one.change("create", "a", "a1", 1);
        two.change("create", "a", "x", 1);
        story.get("a", ["b", 1]);
      },
    },
  ]);
});

describe("resume", () => {
  testBad([
    {
      title: "a replay that begins at the requested position",
      breaks: ["G3"],
      says: /Revision 2 came again, or was part of the state before/,
      record(story) {
        begun(story).end("cut");
        const sub = story.subscribe({ from: 2 });
        sub.resumed(2, 4);
        for (const revision of [2, 3, 4]) sub.change("update", "a", `a${revision}`, revision);
      },
    },
    {
      title: "a silent hole after a resume",
      breaks: ["G3"],
      says: /After revision 2 came revision 4: revision 3 is missing/,
      record(story) {
        begun(story).end("cut");
        const sub = story.subscribe({ from: 2 });
        sub.resumed(2, 4);
        sub.change("update", "a", "a4", 4);
      },
    },
    {
      title: "a resume from another position than the requested one",
      breaks: ["G4"],
      says: /asked to resume from "e"\/2 and was resumed from "e"\/3/,
      record(story) {
        begun(story).end("cut");
        story.subscribe({ from: 2 }).resumed(3, 4);
      },
    },
    {
      title: "a resume without a request",
      breaks: ["G4"],
      says: /was resumed although it gave no position/,
      record(story) {
        begun(story).end("cut");
        story.subscribe().resumed(4, 4);
      },
    },
    {
      title: "an honoured position of another epoch",
      breaks: ["G4"],
      says: /Position "old"\/2 was honoured by a history of epoch "e"/,
      record(story) {
        begun(story).end("cut");
        const old = { epoch: "old", revision: 2 };
        story.subscribe({ from: old }).resumed(old, 4);
      },
    },
    {
      title: "an honoured position ahead of the group",
      breaks: ["G4"],
      says: /Position "e"\/9 was honoured although the group was only at revision 4/,
      record(story) {
        begun(story).end("cut");
        story.subscribe({ from: 9 }).resumed(9, 4);
      },
    },
    {
      title: "a fresh sync although the log still has everything",
      breaks: ["G4"],
      says: /asked to resume from "e"\/2, which the log still holds, and got a fresh sync/,
      options: { expectResume: true },
      record(story) {
        begun(story).end("cut");
        story.subscribe({ from: 2 }).sync([["a", "a4", 4]], 4);
      },
    },
    {
      title: "a hole after a dropped queue",
      breaks: ["G4"],
      says: /had reached "e"\/2 and was resumed from "e"\/3: a silent hole/,
      record: (story) => begun(story).resumed(3, 4),
    },
    {
      title: "changes that repeat after a dropped queue",
      breaks: ["G4"],
      says: /had reached "e"\/2 and was resumed from "e"\/1: changes repeat/,
      record: (story) => begun(story).resumed(1, 4),
    },
    {
      title: "a hole after the dropped queue of an item subscription",
      breaks: ["G4"],
      says: /had reached "e"\/1 and was resumed from "e"\/3: a silent hole/,
      record(story) {
        const sub = story.subscribe({ item: "a" });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        sub.change("create", "a", "a1", 1);
        story.set("a", "a2", 2);
        story.set("b", "b1", 3);
        sub.resumed(3, 3);
      },
    },
  ]);
});

describe("heartbeats", () => {
  testBad([
    {
      title: "a heartbeat ahead of the changes that it promises",
      breaks: ["G5"],
      says: /A heartbeat promised revision 4 when only 2 had arrived/,
      record: (story) => begun(story).heartbeat(4),
    },
    {
      title: "a heartbeat ahead of a change of the item that it promises",
      breaks: ["G5"],
      says: /promised revision 2, but change 1 of the item had not arrived/,
      record(story) {
        const sub = story.subscribe({ item: "a" });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        sub.heartbeat(2);
      },
    },
    {
      title: "a heartbeat before the write was requested",
      breaks: ["G5"],
      says: /A heartbeat showed revision 1 before its write was requested/,
      record(story) {
        const sub = story.subscribe({ item: "b" });
        sub.sync([], 0);
        story.write([{ op: "set", item: "a", value: "never" }]).unknown();
        sub.heartbeat(1);
        story.set("a", "a1", 1);
      },
    },
    {
      title: "a heartbeat beyond the number of requested writes",
      breaks: ["G5"],
      says: /showed revision 9 when only 1 changes had been requested/,
      record(story) {
        const sub = story.subscribe({ item: "b" });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        sub.heartbeat(9);
      },
    },
    {
      title: "a heartbeat of another epoch",
      breaks: ["G5"],
      says: /A heartbeat of epoch "f" came in a segment of epoch "e"/,
      options: { durable: false },
      record: (story) => begun(story).heartbeat(2, "f"),
    },
    {
      title: "a listing behind the position of a heartbeat",
      breaks: ["G5"],
      says: /shows revision 1, but revision 2 was promised by a heartbeat/,
      record(story) {
        const sub = story.subscribe({ item: "b" });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.write([{ op: "set", item: "a", value: "a2" }]).unknown();
        sub.heartbeat(2);
        story.list([[["a", "a1", 1]], 1]);
      },
    },
    {
      title: "silence for longer than the interval",
      breaks: ["G5"],
      says: /For 201 ms no frame with a position came/,
      options: { heartbeatIntervalMs: 100, slackMs: 50 },
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.wait(200);
        sub.heartbeat(0);
      },
    },
    {
      title: "a heartbeat whose position is older than the interval",
      breaks: ["G5"],
      says: /A heartbeat at revision 0 came \d+ ms after revision 1 was known/,
      options: { heartbeatIntervalMs: 100, slackMs: 50 },
      record(story) {
        const sub = story.subscribe({ item: "b" });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.wait(100);
        sub.heartbeat(1);
        story.wait(100);
        sub.heartbeat(0);
      },
    },
  ]);
});

describe("subscriptions that the service ended", () => {
  testBad([
    {
      title: "a change whose write was requested after the response",
      breaks: ["G11"],
      says: /A change showed revision 2, whose write was requested after the subscription had been ended/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.set("a", "a1", 1);
        sub.handle.revoked();
        sub.change("create", "a", "a1", 1);
        story.set("a", "a2", 2);
        sub.change("update", "a", "a2", 2);
      },
    },
    {
      title: "a snapshot that contains a later write",
      breaks: ["G11"],
      says: /A sync showed revision 1, whose write was requested after/,
      record(story) {
        const sub = story.subscribe();
        sub.handle.revoked();
        story.set("a", "a1", 1);
        sub.sync([["a", "a1", 1]], 1);
      },
    },
    {
      title: "a transient event that was sent after the response",
      breaks: ["G11"],
      says: /A transient event arrived that was sent after the subscription had been ended/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        sub.handle.revoked();
        story.send("x").acked();
        sub.event("x", 5);
      },
    },
  ]);
});
