import { describe, expect, test } from "vitest";
import { check, describeViolations } from "../support/checker/index.ts";
import { createStory, GROUP } from "./story.ts";

/** Gaps in a subscription: one per change after the first. */
function gaps(count: number) {
  const story = createStory();
  const sub = story.subscribe();
  sub.sync([], 0);
  for (let revision = 1; revision <= 2 * count + 1; revision++)
    story.set("a", `a${revision}`, revision);
  for (let revision = 1; revision <= 2 * count + 1; revision += 2) {
    sub.change(revision === 1 ? "create" : "update", "a", `a${revision}`, revision);
  }
  return story;
}

describe("a violation", () => {
  test("names the guarantee, the check, the location and the evidence", () => {
    expect(check(gaps(1).history)).toEqual([
      {
        guarantee: "G3",
        check: "order",
        message: "After revision 1 came revision 3: revision 2 is missing.",
        group: GROUP,
        client: "sub",
        subscription: "sub:1",
        frame: 2,
        evidence: [expect.stringContaining('"revision":3')],
      },
    ]);
  });

  test("is listed up to a limit per check, and the rest is counted", () => {
    const violations = check(gaps(10).history, { maxPerCheck: 3 });
    expect(violations).toHaveLength(4);
    expect(violations.at(-1)?.message).toBe('The check "order" found 7 more.');
  });

  test("is printed in a report by guarantee", () => {
    const report = describeViolations(check(gaps(2).history));
    expect(report).toMatch(/^2 violations:/);
    expect(report).toContain("G3 (Complete and unique");
    expect(report).toContain(
      'revision 2 is missing. [order] (group "room", client sub, subscription sub:1, frame 2)',
    );
    expect(describeViolations([])).toBe("No guarantee was broken.");
  });

  test("is independent of the order of records of different clients", () => {
    const { history } = gaps(2);
    const frames = history.filter((record) => record.kind === "frame");
    const others = history.filter((record) => record.kind !== "frame");
    expect(check([...others, ...frames])).toEqual(check(history));
  });

  test("concerns one group only", () => {
    const [one, two] = [createStory(), createStory()];
    one.set("a", "a1", 1);
    two.set("b", "b1", 1);
    const other = two.history.map((record) =>
      "id" in record
        ? { ...record, id: `other ${record.id}`, ...("group" in record ? { group: "other" } : {}) }
        : record,
    );
    expect(check([...one.history, ...other])).toEqual([]);
  });
});
