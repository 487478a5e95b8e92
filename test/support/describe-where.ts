import { describe, it } from "vitest";

/**
 * Describes tests that some machines cannot run. With an obstacle, one skipped test replaces them
 * and reports the obstacle as its reason.
 *
 * @param obstacle Why the tests cannot run here; undefined when they can.
 */
export function describeWhere(obstacle: string | undefined, name: string, body: () => void): void {
  describe(name, () => {
    if (obstacle === undefined) body();
    else it(obstacle, (context) => context.skip(obstacle));
  });
}
