import { describe } from "vitest";
import { at, type Story, type StorySubscription, put } from "./story.ts";
import { testBad } from "./verdict.ts";

const PAIR = [put("a", "a1"), put("b", "b1")];

/** A subscription from the beginning, and a batch of two sets, acknowledged at 1 and 2. */
function pair(story: Story): StorySubscription {
  const sub = story.subscribe();
  sub.sync([], 0);
  story.write(PAIR, { batch: true }).acked({ position: at(2) });
  sub.change("create", "a", "a1", 1);
  return sub;
}

describe("batches", () => {
  testBad([
    {
      title: "a snapshot with a part of a batch",
      breaks: ["G1"],
      says: /A sync is at revision 1, inside batch writer:1/,
      record(story) {
        const sub = story.subscribe();
        story.write(PAIR, { batch: true }).acked({ position: at(2) });
        sub.sync([["a", "a1", 1]], 1);
      },
    },
    {
      title: "a listing with a part of a batch of unknown outcome",
      breaks: ["G1"],
      says: /A list is at revision 1, inside batch writer:1/,
      record(story) {
        story.write(PAIR, { batch: true }).unknown();
        story.list([[["a", "a1", 1]], 1]);
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
      title: "a heartbeat within a batch",
      breaks: ["G1"],
      says: /A heartbeat is at revision 1, inside batch writer:1/,
      record(story) {
        const sub = pair(story);
        sub.heartbeat(1);
        sub.change("create", "b", "b1", 2);
      },
    },
    {
      title: "the head of a replay within a batch",
      breaks: ["G1"],
      says: /A replay's head is at revision 1, inside batch writer:1/,
      record(story) {
        pair(story).end("cut");
        story.subscribe({ from: 0 }).resumed(0, 1);
      },
    },
    {
      title: "a transient event within a batch",
      breaks: ["G1"],
      says: /A transient event came inside batch writer:2/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        const send = story.send("x");
        const batch = story.write(PAIR, { batch: true });
        sub.change("create", "a", "a1", 1);
        sub.event("x", 15);
        sub.change("create", "b", "b1", 2);
        send.acked();
        batch.acked({ position: at(2) });
      },
    },
    {
      title: "another change within a batch",
      breaks: ["G1"],
      says: /Other changes come between those of batch writer:1/,
      record(story) {
        const batch = story.write(PAIR, { batch: true });
        story.write([put("c", "c1")]).unknown();
        batch.acked({ position: at(3), results: [{ position: at(1) }, { position: at(3) }] });
      },
    },
    {
      title: "another change within a batch of unknown outcome",
      breaks: ["G1"],
      says: /Revision 2 of another write comes between those of batch writer:1/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.write(PAIR, { batch: true }).unknown();
        story.write([put("c", "c1")]).unknown();
        sub.change("create", "a", "a1", 1);
        sub.change("create", "c", "c1", 2);
        sub.change("create", "b", "b1", 3);
      },
    },
    {
      title: "a batch in another order",
      breaks: ["G1"],
      says: /The changes of batch writer:1 are not in its order/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.write(PAIR, { batch: true }).unknown();
        sub.change("create", "b", "b1", 1);
        sub.change("create", "a", "a1", 2);
      },
    },
    {
      title: "a part of a batch of unknown outcome",
      breaks: ["G1"],
      says: /Only a part of batch writer:1 took effect: its mutation 1 is missing/,
      record(story) {
        story.write(PAIR, { batch: true }).unknown();
        story.final([["a", "a1", 1]], 1);
      },
    },
  ]);
});

/** A subscription from the beginning that has received change 1. */
function live(story: Story): StorySubscription {
  const sub = story.subscribe();
  sub.sync([], 0);
  story.set("a", "a1", 1);
  sub.change("create", "a", "a1", 1);
  return sub;
}

describe("transient events", () => {
  testBad([
    {
      title: "an event that arrives twice",
      breaks: ["events"],
      says: /An event came 2 times, but was sent once/,
      record(story) {
        const sub = live(story);
        story.send("x").acked();
        sub.event("x", 11);
        sub.event("x", 12);
      },
    },
    {
      title: "an event that no client sent",
      breaks: ["events"],
      says: /An event came that no client sent/,
      record: (story) => live(story).event("x", 11),
    },
    {
      title: "an event that was refused",
      breaks: ["events"],
      says: /An event came that was refused/,
      record(story) {
        const sub = live(story);
        story.send("x").refused("VALUE_INVALID");
        sub.event("x", 11);
      },
    },
    {
      title: "an event before it was sent",
      breaks: ["events"],
      says: /An event came before it was sent/,
      record(story) {
        live(story).event("x", 11);
        story.send("x").acked();
      },
    },
    {
      title: "an event that is replayed to a later subscription",
      breaks: ["events"],
      says: /came to a subscription that began after it: it was replayed/,
      options: { slackMs: 10 },
      record(story) {
        live(story).end("cut");
        story.send("x").acked();
        story.wait(20);
        const sub = story.subscribe({ from: 1 });
        sub.resumed(1, 1);
        sub.event("x", 11);
      },
    },
    {
      title: "an event before a change that was acknowledged before it was sent",
      breaks: ["events"],
      says: /An event came before revision 2, although revision 2 was acknowledged before it was sent/,
      record(story) {
        const sub = live(story);
        story.set("a", "a2", 2);
        story.send("x").acked();
        sub.event("x", 21);
      },
    },
    {
      title: "an event before the preceding change of its item",
      breaks: ["events"],
      says: /An event came before revision 1/,
      record(story) {
        const sub = story.subscribe({ item: "a" });
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        story.send("x", "a").acked();
        sub.event("x", 21, "a");
      },
    },
    {
      title: "an event within a replay",
      breaks: ["events"],
      says: /An event came within the replay: revision 2 was still to come/,
      record(story) {
        live(story).end("cut");
        const write = story.write([put("a", "a2")]);
        const send = story.send("x");
        const sub = story.subscribe({ from: 1 });
        sub.resumed(1, 2);
        sub.event("x", 15);
        sub.change("update", "a", "a2", 2);
        send.acked();
        write.acked({ position: at(2) });
      },
    },
    {
      title: "an event about the group in an item subscription",
      breaks: ["events"],
      says: /An event that is not about item "a" came to a subscription of it/,
      record(story) {
        const sub = story.subscribe({ item: "a" });
        sub.sync([], 0);
        story.send("x").acked();
        sub.event("x", 5);
      },
    },
    {
      title: "an event that did not arrive",
      breaks: ["events"],
      says: /An event that was sent while the subscription was live did not arrive/,
      options: { expectEvents: true, slackMs: 10 },
      record(story) {
        live(story);
        story.send("x").acked();
        story.wait(20);
        story.final([["a", "a1", 1]], 1);
      },
    },
  ]);
});

describe("the clock", () => {
  testBad([
    {
      title: "two changes with one timestamp",
      breaks: ["clock"],
      says: /Revision 2 has timestamp 10, not later than 10 of revision 1/,
      record(story) {
        const sub = live(story);
        story.set("a", "a2", 2);
        sub.change("update", "a", "a2", 2, { timestamp: 10 });
      },
    },
    {
      title: "one change with two timestamps",
      breaks: ["clock"],
      says: /timestamp 10 and timestamp 11/,
      record(story) {
        live(story);
        const sub = story.subscribe({ from: 0, subscriber: "other" });
        sub.resumed(0, 1);
        sub.change("create", "a", "a1", 1, { timestamp: 11 });
      },
    },
    {
      title: "an event that is not later than the change before it",
      breaks: ["clock"],
      says: /A frame with timestamp 10 came after 10/,
      record(story) {
        const sub = live(story);
        story.send("x").acked();
        sub.event("x", 10);
      },
    },
    {
      title: "a sync with the timestamp of a later change",
      breaks: ["clock"],
      says: /A sync at revision 1 has timestamp 20, not before that of the next revision, 20/,
      record(story) {
        const sub = live(story);
        const late = story.subscribe({ subscriber: "other" });
        story.set("a", "a2", 2);
        sub.change("update", "a", "a2", 2);
        late.sync([["a", "a1", 1]], 1, { timestamp: 20 });
      },
    },
    {
      title: "a sync with a timestamp from before its last change",
      breaks: ["clock"],
      says: /A sync at revision 1 has timestamp 9, before that of this revision, 10/,
      record(story) {
        live(story);
        story.subscribe({ subscriber: "other" }).sync([["a", "a1", 1]], 1, { timestamp: 9 });
      },
    },
  ]);
});

describe("malformed histories", () => {
  testBad([
    {
      title: "an acknowledged write without a position",
      breaks: ["record"],
      says: /was acknowledged without a position/,
      record: (story) => story.write([put("a", "a1")]).acked({}),
    },
    {
      title: "two outcomes of one write",
      breaks: ["record"],
      says: /has two outcomes/,
      record(story) {
        const write = story.write([put("a", "a1")]);
        write.unknown();
        write.unknown();
      },
    },
    {
      title: "a frame after the end of its attempt",
      breaks: ["record"],
      says: /has a record after it ended/,
      record(story) {
        const sub = story.subscribe();
        sub.end();
        sub.heartbeat(0);
      },
    },
  ]);
});
