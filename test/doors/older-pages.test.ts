import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import type { StreamService } from "millrace";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RoomView } from "../support/doors/room-view.ts";
import { type StoreKind, type TestServer, startServer } from "../support/doors/test-server.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { type Random, random } from "../support/random.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

interface Setup {
  readonly seed: number;
  readonly window: number;
  readonly pageSize: number;
  /** Changes that are written meanwhile. */
  readonly writes: number;
}

const setups = fc.record<Setup>({
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
  window: fc.constantFrom(1, 3, 10, 30),
  pageSize: fc.constantFrom(1, 2, 5, 20),
  writes: fc.constantFrom(10, 40, 120),
});

interface Group {
  readonly streamName: string;
  readonly groupId: string;
}

async function write(service: StreamService, group: Group, dice: Random): Promise<void> {
  const item = { ...group, itemId: `i${dice.below(40)}` };
  if (dice.chance(0.3)) await service.delete(item);
  else await service.set({ ...item, data: dice.below(1e6) });
}

/** Opens a group at its end, and loads all older pages, while others write. */
async function run(
  service: StreamService,
  { seed, window, pageSize, writes }: Setup,
): Promise<void> {
  const dice = random(seed);
  const group = { streamName: uniqueName("older"), groupId: "g" };
  for (let i = 0; i < 60; i++) await write(service, group, dice);

  const view = new RoomView();
  const frames = await service.subscribe({ ...group, window });
  let stopped = false;
  let wake = () => {};
  const following = (async () => {
    for await (const frame of frames) {
      view.take(frame);
      wake();
      if (stopped) return;
      while (dice.chance(0.3)) await turn();
    }
  })();
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
  };
  const writing = (async () => {
    for (let i = 0; i < writes; i++) {
      await write(service, group, dice);
      while (dice.chance(0.4)) await turn();
    }
  })();
  await until(() => view.olderPageToken !== undefined);
  while (view.olderPageToken !== "") {
    await view.loadOlder(async (pageToken) => {
      const page = await service.list({ ...group, descending: true, pageSize, pageToken });
      while (dice.chance(0.5)) await turn();
      return page;
    });
    while (dice.chance(0.3)) await turn();
  }
  await writing;
  const { items, position } = await service.list({ ...group, pageSize: 1000 });
  await until(() => view.revision >= position.revision);
  const whole = items.map(({ itemId, data, revision }) => [itemId, { data, revision }]);
  expect([...view.items]).toEqual(whole);
  stopped = true;
  await service.send({ ...group, type: "end", data: null });
  await following;
}

function describeOlderPages(kind: StoreKind, numRuns: number): void {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer(kind);
  });
  afterAll(() => server?.close());

  it("with the window, and the changes meanwhile, are exactly the items of the group (G2, G10)", async () => {
    await fc.assert(
      fc.asyncProperty(setups, (setup) => run(server.service, setup)),
      { numRuns },
    );
  });
}

describe("older pages of a group in memory", () => {
  describeOlderPages("memory", 60);
});
describe("older pages of a group on disk", () => {
  describeOlderPages("file", 6);
});
describeWithRedis("older pages of a group on Redis", () => {
  describeOlderPages("redis", 8);
});
