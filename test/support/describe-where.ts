import { describe, it } from "vitest";

/**
 * Describes tests that not every machine can run. Where there is an obstacle, one test is skipped in
 * place of them, with the obstacle as its reason.
 *
 * @param obstacle Why the tests cannot run here; undefined when they can.
 */
export function describeWhere(obstacle: string | undefined, name: string, body: () => void): void {
  describe(name, () => {
    if (obstacle === undefined) body();
    else it(obstacle, (context) => context.skip(obstacle));
  });
}
