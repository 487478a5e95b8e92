import fc from "fast-check";
import { expect, test } from "vitest";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { Hub } from "../../src/live/hub.ts";
import { interestIn } from "../../src/live/interest.ts";
import type { Subscription } from "../../src/live/subscription.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { Reader } from "../support/reader.ts";
import { type Random, random } from "../support/random.ts";
import { randomWrite } from "./random-write.ts";
import { withDeltaLog } from "./delta-log.ts";
import { withUnreliableFeed } from "./unreliable-feed.ts";

const GROUP = { streamName: "s", groupId: "g" };
const ITEMS = ["a", "b", "c", "d", "e"];

interface Setup {
  readonly seed: number;
  readonly maxChanges: number;
  readonly maxFrames: number;
  readonly unreliable: boolean;
  /** Whether the store reads deltas from its log without their values. */
  readonly smallLog: boolean;
}

const setups = fc.record<Setup>({
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
  maxChanges: fc.constantFrom(3, 20, 1000),
  maxFrames: fc.constantFrom(2, 7, 1000),
  unreliable: fc.boolean(),
  smallLog: fc.boolean(),
});

async function step(store: Store, dice: Random, count: number): Promise<void> {
  const itemId = dice.pick(ITEMS);
  if (dice.chance(0.1)) {
    await store.broadcast(GROUP, { type: "t", itemId: undefined, value: Value.of(count) });
    return;
  }
  await store.run(GROUP, [{ mutations: [randomWrite(dice, itemId, count)] }]);
}

async function stateOf(store: Store, itemId?: string): Promise<Map<string, string>> {
  const page = await store.list(GROUP, { maxCount: 1000, maxBytes: 1 << 30 });
  const items = page.items.filter((item) => itemId === undefined || item.itemId === itemId);
  return new Map(items.map((item) => [item.itemId, item.value.text]));
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("readers of every speed see each change once, in order, and end with the state of the store, whatever the feed does, with deltas or without (G2, G3, G7)", async () => {
  let deltaCount = 0;
  await fc.assert(
    fc.asyncProperty(setups, async ({ seed, maxChanges, maxFrames, unreliable, smallLog }) => {
      const dice = random(seed);
      const inner = withDeltaLog(memoryStore({ history: { maxChanges } }), smallLog);
      const store = unreliable ? withUnreliableFeed(inner, dice) : inner;
      let nowMs = 0;
      const queueLimits = { maxBytes: 1 << 20, maxFrames };
      const hub = new Hub({
        store,
        now: () => nowMs,
        heartbeatIntervalMs: 1000,
        stallTimeoutMs: 1e9,
        queueLimits,
      });
      const readers: {
        reader: Reader;
        subscription: Subscription;
        itemId: string | undefined;
        pace: number;
      }[] = [];

      for (let count = 0; count < 150; count++) {
        await step(inner, dice, count);
        if (dice.chance(0.08)) {
          const itemId = dice.chance(0.3) ? dice.pick(ITEMS) : undefined;
          const known =
            dice.chance(0.5) && itemId === undefined
              ? dice.pick([...readers, undefined])
              : undefined;
          const resumed =
            known === undefined || known.itemId !== undefined ? undefined : known.reader;
          const reader = new Reader(itemId);
          reader.lateEvents = unreliable;
          if (resumed !== undefined) reader.continueFrom(resumed);
          const resumeFrom = resumed?.position;
          const subscription = await hub.follow({
            group: GROUP,
            interest: interestIn(itemId, { deltas: dice.chance(0.7) }),
            resumeFrom,
          });
          readers.push({ reader, subscription, itemId, pace: dice.pick([0.05, 0.5, 1]) });
        }
        for (const { reader, subscription, pace } of readers) {
          if (dice.chance(pace)) reader.drain(subscription, 1 + dice.below(10));
        }
        if (dice.chance(0.3)) await turn();
        if (dice.chance(0.1)) {
          nowMs += 1001;
          await hub.tick();
        }
      }

      const head = (await inner.heads([GROUP]))[0];
      for (const { reader, subscription, itemId } of readers) {
        // A heartbeat finds the last changes that the feed lost.
        for (let round = 0; reader.position.revision !== head?.position.revision; round++) {
          if (round > 200)
            throw new Error(`stuck at ${reader.position.revision} of ${head?.position.revision}`);
          nowMs += 1001;
          await hub.tick();
          reader.drain(subscription);
          await turn();
        }
        expect(subscription.error).toBeUndefined();
        expect(reader.state).toEqual(await stateOf(inner, itemId));
        deltaCount += reader.deltaCount;
        subscription.close();
      }
      expect(hub.channelCount).toBe(0);
      await inner.close();
    }),
    { numRuns: 150 },
  );
  // Otherwise deltas were not tried at all.
  expect(deltaCount).toBeGreaterThan(1000);
});
