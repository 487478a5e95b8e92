import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChangeEvent, LiveEvent, TransientEvent } from "../../src/core/change.ts";
import { isJoinable, mergeReplay } from "../../src/core/replay.ts";
import { Value } from "../../src/core/value.ts";

const value = Value.of(1);

function change(revision: number): ChangeEvent {
  const position = { epoch: "e", revision };
  return {
    kind: "change",
    type: "update",
    itemId: "i",
    value,
    position,
    timestamp: revision * 10,
    timeMs: 0,
    author: "",
  };
}

function event(after: number, order = 1): TransientEvent {
  const position = { epoch: "e", revision: after };
  return {
    kind: "event",
    type: "t",
    itemId: undefined,
    value,
    after: position,
    timestamp: after * 10 + order,
    author: "",
  };
}

function names(events: readonly LiveEvent[]): string[] {
  return events.map((entry) =>
    entry.kind === "event" ? `e${entry.after.revision}` : `c${entry.position.revision}`,
  );
}

describe("mergeReplay", () => {
  test.each<[string, LiveEvent[], number[], string[], string[]]>([
    ["nothing released meanwhile", [], [1, 2], ["c1", "c2"], []],
    ["an overlap comes once", [change(2), change(3)], [1, 2], ["c1", "c2"], ["c3"]],
    ["all of the feed is in the log", [change(1), change(2)], [1, 2, 3], ["c1", "c2", "c3"], []],
    ["an event keeps its place", [change(1), event(1), change(2)], [1, 2], ["c1", "e1", "c2"], []],
    ["an event from before the replay comes first", [event(0)], [1, 2], ["e0", "c1", "c2"], []],
    [
      "events after the last replayed change are left",
      [change(2), event(2)],
      [1, 2],
      ["c1", "c2"],
      ["e2"],
    ],
    ["an empty replay leaves all", [event(3), change(4)], [], [], ["e3", "c4"]],
  ])("%s", (_title, released, replayed, merged, left) => {
    const result = mergeReplay(replayed.map(change), released);
    expect({ merged: names(result.merged), left: names(result.left) }).toEqual({ merged, left });
  });

  test("leaves out events sent before the end of a promised replay; later ones keep their places", () => {
    const released = [event(0), change(1), event(1), change(2), event(2), change(3), event(3)];
    const { merged, left } = mergeReplay([1, 2, 3].map(change), released, 2);
    expect([names(merged), names(left)]).toEqual([["c1", "c2", "e2", "c3"], ["e3"]]);
  });

  test("emits each change once and in order, and no event lost or ahead of its change, for any overlap (G2, G3)", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10 }),
        fc.integer({ min: 0, max: 10 }),
        fc.array(fc.boolean(), { minLength: 21, maxLength: 21 }),
        (replayCount, feedStart, withEvent) => {
          const released: LiveEvent[] = [];
          for (let revision = feedStart + 1; revision <= 20; revision++) {
            released.push(change(revision));
            if (withEvent[revision] === true) released.push(event(revision));
          }
          const replayed = Array.from({ length: replayCount }, (_, i) => change(i + 1));
          const { merged, left } = mergeReplay(replayed, released);
          fc.pre(feedStart <= replayCount);
          const all = [...merged, ...left];
          const revisions = all.flatMap((entry) =>
            entry.kind === "change" ? [entry.position.revision] : [],
          );
          const once = Array.from({ length: 20 }, (_, i) => i + 1);
          expect([...new Set(revisions)]).toEqual(once);
          expect(revisions.filter((revision) => revision <= replayCount)).toEqual(
            once.slice(0, replayCount),
          );
          const timestamps = all.map((entry) => entry.timestamp);
          expect(timestamps).toEqual(timestamps.toSorted((a, b) => a - b));
          expect(all.filter((entry) => entry.kind === "event")).toEqual(
            released.filter((entry) => entry.kind === "event"),
          );
        },
      ),
    );
  });
});

test("places events sent after the group was forgotten after the changes before", () => {
  const afterwards = { ...event(0), after: { epoch: "", revision: 0 }, timestamp: 25 };
  const { merged, left } = mergeReplay([change(1), change(2)], [afterwards]);
  expect(names(merged)).toEqual(["c1", "c2"]);
  expect(names(left)).toEqual(["e0"]);
});

test("places events sent before the first change of a group before it", () => {
  const before = { ...event(0), after: { epoch: "", revision: 0 }, timestamp: 5 };
  expect(names(mergeReplay([change(1)], [before]).merged)).toEqual(["e0", "c1"]);
});

test.each([
  [{ epoch: "e", revision: 5 }, { epoch: "e", revision: 5 }, true],
  [{ epoch: "e", revision: 6 }, { epoch: "e", revision: 5 }, true],
  [{ epoch: "e", revision: 4 }, { epoch: "e", revision: 5 }, false],
  [{ epoch: "e", revision: 5 }, { epoch: "other", revision: 5 }, false],
  [{ epoch: "e", revision: 5 }, { epoch: "", revision: 0 }, true],
  [{ epoch: "", revision: 0 }, { epoch: "", revision: 0 }, true],
  [{ epoch: "", revision: 0 }, { epoch: "e", revision: 1 }, false],
])("a reader at %j can continue with a feed from %j: %s", (cursor, feedStart, joinable) => {
  expect(isJoinable(cursor, feedStart)).toBe(joinable);
});
