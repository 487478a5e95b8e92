import { describe } from "vitest";
import { HeldItems } from "../support/checker/index.ts";
import type { Story, StorySubscription } from "./story.ts";
import { testBad } from "./verdict.ts";

/** Changes 1 to 4, all acknowledged, and a subscription with deltas that is at 1. */
function begun(story: Story, deltas = new HeldItems()): StorySubscription {
  const sub = story.subscribe({ deltas });
  story.set("a", "a", 1);
  sub.sync([["a", "a", 1]], 1);
  story.set("a", "ab", 2);
  story.set("b", "b", 3);
  story.set("a", "abc", 4);
  return sub;
}

describe("deltas", () => {
  testBad([
    {
      title: "steps to a subscription that did not ask for them",
      breaks: ["G3"],
      says: /Revision 2 of item "a" came as steps to a subscription that did not ask for deltas/,
      record(story) {
        const sub = story.subscribe();
        story.set("a", "a", 1);
        sub.sync([["a", "a", 1]], 1);
        story.set("a", "ab", 2);
        sub.append("a", "b", 1, 2);
      },
    },
    {
      title: "steps that apply to a revision that the client does not hold",
      breaks: ["G2", "G3"],
      says: /came as steps that apply to revision 1, and the client holds revision 2/,
      record(story) {
        const sub = begun(story);
        sub.append("a", "b", 1, 2);
        sub.change("create", "b", "b", 3);
        sub.append("a", "c", 1, 4);
      },
    },
    {
      title: "steps that apply to a revision after the snapshot",
      breaks: ["G3"],
      says: /came as steps that apply to revision 2, and the client holds revision 1/,
      record(story) {
        const sub = story.subscribe({ deltas: new HeldItems() });
        story.set("a", "a", 1);
        sub.sync([["a", "a"]], 1);
        story.set("a", "ab", 2);
        sub.append("a", "b", 2, 2);
      },
    },
    {
      title: "steps of an item that the client does not hold",
      breaks: ["G1", "G2", "G3"],
      says: /Revision 3 of item "b" came as steps, and the client does not hold the item/,
      record(story) {
        const sub = begun(story);
        sub.append("a", "b", 1, 2);
        sub.append("b", "b", 1, 3);
      },
    },
    {
      title: "steps that have no effect on the value",
      breaks: ["G3"],
      says: /came as steps that have no effect on the value that the client holds/,
      record(story) {
        const ops = [{ type: "increment", path: "", by: 1 }];
        const frame = { item: "a", ops, baseRevision: 1, timestamp: 20 };
        begun(story).handle.delta({ ...frame, position: { epoch: "e", revision: 2 } });
      },
    },
    {
      title: "steps that give another value than the others receive",
      breaks: ["G2"],
      says: /Revision 2 of epoch "e" is reported differently.*value "ab" and value "ax"/,
      record: (story) => begun(story).append("a", "x", 1, 2),
    },
    {
      title: "a resumed subscription that continues with the items of the attempt before",
      breaks: ["G2"],
      says: /Revision 4 of epoch "e" is reported differently/,
      record(story) {
        const held = new HeldItems();
        const sub = begun(story, held);
        sub.append("a", "b", 1, 2);
        sub.end("cut");
        const next = story.subscribe({ from: 2, deltas: held });
        next.resumed(2, 4);
        next.change("create", "b", "b", 3);
        next.append("a", "d", 2, 4);
      },
    },
  ]);
});
