import { expect, test } from "vitest";
import {
  check,
  type CheckOptions,
  describeViolations,
  type Guarantee,
} from "../support/checker/index.ts";
import { createStory, type Story } from "./story.ts";

/** A history with a violation, and the expected report. */
export interface BadCase {
  readonly title: string;
  /** All guarantees that the checker must name, and no others. */
  readonly breaks: readonly Guarantee[];
  /** A pattern of one of its sentences. */
  readonly says: RegExp;
  readonly options?: CheckOptions;
  record(story: Story): void;
}

/** A history of a correct service. */
export interface GoodCase {
  readonly title: string;
  readonly options?: CheckOptions;
  record(story: Story): void;
}

/** One test per case: the checker names the guarantee and the violation. */
export function testBad(cases: readonly BadCase[]): void {
  test.for(cases.map((bad) => [`${bad.title} (${bad.breaks.join(", ")})`, bad] as const))(
    "catches %s",
    ([, bad]) => {
      const story = createStory();
      bad.record(story);
      const violations = check(story.history, bad.options);
      const description = describeViolations(violations);
      const named = [...new Set(violations.map(({ guarantee }) => guarantee))].sort();
      const said = violations.some(({ message }) => bad.says.test(message));
      expect({ named, said, description }).toEqual({
        named: [...bad.breaks].sort(),
        said: true,
        description,
      });
    },
  );
}

/** One test per case: the checker finds no violation. */
export function testGood(cases: readonly GoodCase[]): void {
  test.for(cases.map((good) => [good.title, good] as const))("accepts %s", ([, good]) => {
    const story = createStory();
    good.record(story);
    const violations = check(story.history, good.options);
    expect(describeViolations(violations)).toBe(describeViolations([]));
  });
}
