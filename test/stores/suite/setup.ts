import { afterEach } from "vitest";
import type { OpenStore, StoreFixture, StoreRequest } from "./fixture.ts";

/** Opens stores for the tests of a describe block, and disposes of them after each. */
export function storesOf(open: OpenStore): (request?: StoreRequest) => Promise<StoreFixture> {
  let fixtures: StoreFixture[] = [];
  afterEach(async () => {
    const used = fixtures;
    fixtures = [];
    await Promise.all(used.map((fixture) => fixture.dispose()));
  });
  return async (request = {}) => {
    const fixture = await open(request);
    fixtures.push(fixture);
    return fixture;
  };
}
