import { expect, test } from "vitest";
import {
  check,
  type CheckOptions,
  describeViolations,
  type Guarantee,
} from "../support/checker/index.ts";
import { createStory, type Story } from "./story.ts";

/** A history with something wrong, and what the checker has to say of it. */
export interface BadCase {
  readonly title: string;
  /** All guarantees that the checker must name, and no others. */
  readonly breaks: readonly Guarantee[];
  /** What one of its sentences must say. */
  readonly says: RegExp;
  readonly options?: CheckOptions;
  tell(story: Story): void;
}

/** A history that fits a service that keeps its promises. */
export interface GoodCase {
  readonly title: string;
  readonly options?: CheckOptions;
  tell(story: Story): void;
}

/** One test per case: the checker names the guarantee and says what is wrong. */
export function testBad(cases: readonly BadCase[]): void {
  test.for(cases.map((bad) => [`${bad.title} (${bad.breaks.join(", ")})`, bad] as const))(
    "catches %s",
    ([, bad]) => {
      const story = createStory();
      bad.tell(story);
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

/** One test per case: the checker has nothing to say. */
export function testGood(cases: readonly GoodCase[]): void {
  test.for(cases.map((good) => [good.title, good] as const))("is silent about %s", ([, good]) => {
    const story = createStory();
    good.tell(story);
    const violations = check(story.history, good.options);
    expect(describeViolations(violations)).toBe(describeViolations([]));
  });
}
