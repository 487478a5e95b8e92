import { describe } from "vitest";
import { type Story, put } from "./story.ts";
import { testBad } from "./verdict.ts";

/** a at 1 and 3, b at 2, c at 4 and deleted at 5, all acknowledged. */
function five(story: Story): void {
  story.set("a", "a1", 1);
  story.set("b", "b1", 2);
  story.set("a", "a2", 3);
  story.set("c", "c1", 4);
  story.delete("c", 5);
}

describe("snapshots", () => {
  testBad([
    {
      title: "a stale snapshot at an old position",
      breaks: ["G10"],
      says: /A sync shows revision 2, but revision 5 was acknowledged before the call began/,
      record(story) {
        five(story);
        story.subscribe().sync(
          [
            ["a", "a1", 1],
            ["b", "b1", 2],
          ],
          2,
        );
      },
    },
    {
      title: "a snapshot that lacks a change up to its position",
      breaks: ["G3"],
      says: /has item "a" at revision 1, but change 3 was later: it is stale/,
      record(story) {
        five(story);
        story.subscribe().sync(
          [
            ["a", "a1", 1],
            ["b", "b1", 2],
          ],
          5,
        );
      },
    },
    {
      title: "a window that lacks one of the newest items",
      breaks: ["G3"],
      says: /lacks item "b", which was written at revision 2 and not deleted/,
      record(story) {
        five(story);
        story.subscribe({ window: 2 }).sync([["a", "a2", 3]], 5);
      },
    },
    {
      title: "a snapshot that lacks an item",
      breaks: ["G3"],
      says: /lacks item "b", which was written at revision 2 and not deleted/,
      record(story) {
        five(story);
        story.subscribe().sync([["a", "a2", 3]], 5);
      },
    },
    {
      title: "a snapshot with a deleted item",
      breaks: ["G3"],
      says: /has item "c", which was deleted at revision 5: it is back/,
      record(story) {
        five(story);
        story.subscribe().sync(
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
      title: "a snapshot with a value that never was",
      breaks: ["G3"],
      says: /value "b1" and value "b9"/,
      record(story) {
        five(story);
        story.subscribe().sync(
          [
            ["a", "a2", 3],
            ["b", "b9", 2],
          ],
          5,
        );
      },
    },
    {
      title: "a snapshot without revisions and with an old value",
      breaks: ["G3"],
      says: /has item "a" with a value that it did not have/,
      record(story) {
        five(story);
        story.subscribe().sync(
          [
            ["a", "a1"],
            ["b", "b1"],
          ],
          5,
        );
      },
    },
    {
      title: "a snapshot with an item twice",
      breaks: ["G3"],
      says: /has item "b" twice/,
      record(story) {
        five(story);
        story.subscribe().sync(
          [
            ["a", "a2", 3],
            ["b", "b1", 2],
            ["b", "b1", 2],
          ],
          5,
        );
      },
    },
    {
      title: "a snapshot with an item from after its position",
      breaks: ["G3"],
      says: /has item "a" at revision 3, which it does not include/,
      record(story) {
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        const sub = story.subscribe();
        const write = story.write([put("a", "a2")]);
        sub.sync(
          [
            ["a", "a2", 3],
            ["b", "b1", 2],
          ],
          2,
        );
        write.acked({ position: { epoch: "e", revision: 3 } });
      },
    },
    {
      title: "a snapshot that is not in creation order",
      breaks: ["listing"],
      says: /does not have its items in creation order/,
      record(story) {
        five(story);
        story.subscribe().sync(
          [
            ["b", "b1", 2],
            ["a", "a2", 3],
          ],
          5,
        );
      },
    },
    {
      title: "an item snapshot that lacks its item",
      breaks: ["G3"],
      says: /lacks item "a", which was written at revision 3 and not deleted/,
      record(story) {
        five(story);
        story.subscribe({ item: "a" }).sync([], 5);
      },
    },
    {
      title: "a listing that differs from the state",
      breaks: ["G1"],
      says: /A list at revision 5 lacks item "b"/,
      record(story) {
        five(story);
        story.list([[["a", "a2", 3]], 5]);
      },
    },
    {
      title: "two snapshots at one position that differ, although the changes were not observed",
      breaks: ["G1"],
      says: /has item "b", which another snapshot lacked: it is back/,
      options: { allWritesRecorded: false },
      record(story) {
        story.subscribe().sync([["a", "a2", 3]], 5);
        story.list([
          [
            ["a", "a2", 3],
            ["b", "b1", 2],
          ],
          5,
        ]);
      },
    },
    {
      title: "a create of an existing item",
      breaks: ["G1"],
      says: /Revision 2 creates item "a", which existed since revision 1/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.set("a", "a2", 2);
        sub.change("create", "a", "a1", 1);
        sub.change("create", "a", "a2", 2);
      },
    },
    {
      title: "a delete with a value that the item did not have",
      breaks: ["G1"],
      says: /Revision 2 deletes item "a" with a value that it did not have/,
      record(story) {
        const sub = story.subscribe();
        sub.sync([], 0);
        story.set("a", "a1", 1);
        story.delete("a", 2);
        sub.change("create", "a", "a1", 1);
        sub.change("delete", "a", "a0", 2);
      },
    },
    {
      title: "an old value that the item did not have",
      breaks: ["G1"],
      says: /returned an old value that item "a" did not have/,
      record(story) {
        story.set("a", "a1", 1);
        story.write([put("a", "a2")]).acked({
          position: { epoch: "e", revision: 2 },
          results: [{ old: { value: "a0" }, created: false }],
        });
      },
    },
    {
      title: "a write whose expectation was not met",
      breaks: ["G1"],
      says: /although it expected item "a" at revision 0; it was at 1/,
      record(story) {
        story.set("a", "a1", 1);
        story
          .write([{ op: "set", item: "a", value: "a2", expectedRevision: 0 }])
          .acked({ position: { epoch: "e", revision: 2 } });
      },
    },
    {
      title: "a listing of several positions that missed an item",
      breaks: ["listing"],
      says: /A listing of several pages missed item "b", which existed throughout/,
      record(story) {
        story.set("a", "a1", 1);
        story.set("b", "b1", 2);
        const write = story.write([put("c", "c1")]);
        story.list([[["a", "a1", 1]], 2], [[["c", "c1", 3]], 3]);
        write.acked({ position: { epoch: "e", revision: 3 } });
      },
    },
  ]);
});
