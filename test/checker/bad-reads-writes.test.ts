import { describe } from "vitest";
import { type Story, type StorySubscription, put } from "./story.ts";
import { testBad } from "./verdict.ts";

/** a at 1 and 3, b at 2, c at 4 and deleted at 5, all acknowledged. */
function five(story: Story): void {
  story.set("a", "a1", 1);
  story.set("b", "b1", 2);
  story.set("a", "a2", 3);
  story.set("c", "c1", 4);
  story.delete("c", 5);
}

describe("reads", () => {
  testBad([
    {
      title: "a listing that lacks an acknowledged write",
      breaks: ["G10"],
      says: /A list shows revision 1, but revision 2 was acknowledged before the call began/,
      record(story) {
        story.set("a", "a1", 1);
        story.set("a", "a2", 2);
        story.list([[["a", "a1", 1]], 1]);
      },
    },
    {
      title: "a listing that shows a written group as never written",
      breaks: ["G10"],
      says: /shows the group as never written, but revision 1 was acknowledged/,
      record(story) {
        story.set("a", "a1", 1);
        story.list([[], 0]);
      },
    },
    {
      title: "a listing that lacks a delivered change",
      breaks: ["G1"],
      says: /A list shows revision 1, but revision 2 was delivered before the call began/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.set("a", "a1", 1);
        sub.change("create", "a", "a1", 1);
        story.write([put("a", "a2")]);
        sub.change("update", "a", "a2", 2);
        story.list([[["a", "a1", 1]], 1]);
      },
    },
    {
      title: "a stale Get",
      breaks: ["G10"],
      says: /A Get of item "a" shows revision 1, but the item had a later value at revision 3/,
      record(story) {
        five(story);
        story.get("a", ["a1", 1]);
      },
    },
    {
      title: "a Get of a deleted item",
      breaks: ["G10"],
      says: /A Get of item "c" shows revision 4, but the item had been deleted at revision 5/,
      record(story) {
        five(story);
        story.get("c", ["c1", 4]);
      },
    },
    {
      title: "a Get that misses an item",
      breaks: ["G10"],
      says: /A Get of item "b" found nothing, but it was written at revision 2/,
      record(story) {
        five(story);
        story.get("b");
      },
    },
    {
      title: "a Delete that found nothing although the item existed",
      breaks: ["G10"],
      says: /A Delete of item "b" found nothing/,
      record(story) {
        five(story);
        story.write([{ op: "delete", item: "b" }]).acked({});
      },
    },
    {
      title: "an epoch that comes back",
      breaks: ["G10"],
      says: /Epoch "e" was shown again after another epoch had replaced it/,
      options: { durable: false },
      record(story) {
        story.set("a", "a1", 1, "e");
        story.set("a", "a2", 1, "f");
        story.list([[["a", "a1", 1]], 1]);
      },
    },
  ]);
});

describe("writes", () => {
  testBad([
    {
      title: "an acknowledged write that is lost at the end",
      breaks: ["G6"],
      says: /A list shows revision 4, but revision 5 was acknowledged/,
      record(story) {
        five(story);
        story.final(
          [
            ["a", "a2", 3],
            ["b", "b1", 2],
            ["c", "c1", 4],
          ],
          4,
        );
      },
    },
    {
      title: "an acknowledged write without effect at the end",
      breaks: ["G6"],
      says: /A list at revision 5 has item "a" at revision 1, but change 3 was later/,
      record(story) {
        five(story);
        story.final(
          [
            ["a", "a1", 1],
            ["b", "b1", 2],
          ],
          5,
        );
      },
    },
    {
      title: "a deleted item that is back at the end",
      breaks: ["G6"],
      says: /has item "c", which was deleted at revision 5: it is back/,
      record(story) {
        five(story);
        story.final(
          [
            ["a", "a2", 3],
            ["b", "b1", 2],
            ["c", "c1", 4],
          ],
          5,
        );
      },
    },
    {
      title: "a history that was lost",
      breaks: ["G6"],
      says: /The group had 2 epochs: "e", "f". History was lost/,
      record(story) {
        story.set("a", "a1", 1, "e");
        story.set("a", "a2", 1, "f");
      },
    },
    {
      title: "an acknowledged revision that holds another change",
      breaks: ["G2"],
      says: /Revision 1 of epoch "e" is reported differently by the acknowledgement/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.write([put("a", "a2")]).unknown();
        sub.change("create", "a", "a2", 1);
      },
    },
    {
      title: "two writes acknowledged at one revision",
      breaks: ["G2"],
      says: /were both acknowledged at revision 1/,
      record(story) {
        story.set("a", "same", 1);
        story.set("a", "same", 1);
      },
    },
    {
      title: "a write that comes before one acknowledged earlier",
      breaks: ["G2"],
      says: /An acknowledgement showed revision 2 before the write of the earlier revision 1 was requested/,
      record(story) {
        story.write([put("b", "b1")]);
        story.set("a", "a1", 2);
        story.set("a", "a2", 1);
      },
    },
    {
      title: "writes of one pipe in another order",
      breaks: ["G2"],
      says: /was sent after writer:1 in one pipe, but took effect before it/,
      record(story) {
        const [one, two] = [
          story.write([put("a", "a1")], { pipe: "p" }),
          story.write([put("a", "a2")], { pipe: "p" }),
        ];
        one.acked({ position: { epoch: "e", revision: 2 } });
        two.acked({ position: { epoch: "e", revision: 1 } });
      },
    },
  ]);

  const seen = (story: Story): StorySubscription => {
    const sub = story.subscribe();
    sub.sync([], 0);
    return sub;
  };
  testBad([
    {
      title: "a refused write that took effect",
      breaks: ["G1"],
      says: /is the work of write writer:1, which was refused/,
      record(story) {
        const sub = seen(story);
        story.write([put("a", "a1")]).refused("REVISION_MISMATCH");
        story.write([put("b", "b1")]).unknown();
        sub.change("create", "a", "a1", 1);
      },
    },
    {
      title: "an unknown write that took effect twice",
      breaks: ["G1"],
      says: /which took effect more than once/,
      record(story) {
        const sub = seen(story);
        story.write([put("a", "a1")]).unknown();
        story.write([put("b", "b1")]).unknown();
        sub.change("create", "a", "a1", 1);
        sub.change("update", "a", "a1", 2);
      },
    },
    {
      title: "an acknowledged write that took effect twice",
      breaks: ["G1"],
      says: /which took effect more than once/,
      record(story) {
        const sub = seen(story);
        story.set("a", "a1", 1);
        story.write([put("b", "b1")]).unknown();
        sub.change("create", "a", "a1", 1);
        sub.change("update", "a", "a1", 2);
      },
    },
    {
      title: "a change that no client requested",
      breaks: ["G1"],
      says: /Revision 1 of item "a" has a value that no client wrote/,
      record(story) {
        const sub = seen(story);
        story.write([put("b", "b1")]).unknown();
        sub.change("create", "a", "a1", 1);
      },
    },
    {
      title: "a delete that no client requested",
      breaks: ["G1"],
      says: /Revision 2 of item "a" is a delete that no client requested/,
      record(story) {
        const sub = seen(story);
        story.set("a", "a1", 1);
        story.write([put("b", "b1")]).unknown();
        sub.change("create", "a", "a1", 1);
        sub.change("delete", "a", "a1", 2);
      },
    },
    {
      title: "a torn value, compared with the write of its tag",
      breaks: ["G1"],
      says: /has a torn value: write writer:1 wrote another one under this tag/,
      record(story) {
        const sub = seen(story);
        story.write([{ op: "set", item: "a", value: { tag: "w1", pad: "xxxx" } }]).unknown();
        sub.change("create", "a", { tag: "w1", pad: "xx" }, 1);
      },
    },
    {
      title: "a torn value, by its seal",
      breaks: ["G1"],
      says: /Revision 1 of item "a" has a torn value/,
      record(story) {
        const sub = seen(story);
        story.write([{ op: "update", item: "a", tag: "w1" }]).unknown();
        sub.change("create", "a", { tag: "w1", pad: "half", sum: 7 }, 1);
      },
    },
    {
      title: "a change delivered before its write was requested",
      breaks: ["G1"],
      says: /A change showed revision 1 before its write was requested/,
      record(story) {
        const sub = seen(story);
        story.write([put("b", "b1")]).refused("STORE_UNAVAILABLE");
        story.write([put("b", "b2")]).unknown();
        sub.change("create", "a", "a1", 1);
        story.set("a", "a1", 1);
      },
    },
  ]);
});
