import { expect, test } from "vitest";
import { copyUnderFleet } from "../support/redis/copied-fleet.ts";
import { OLD_COPIES, RESTARTED, restartedAppendFile } from "../support/redis/old-copies.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { LONG } from "../support/long/violations.ts";

/*
 * An older copy replaces the data of a fleet while three servers write and follow. The long form
 * repeats each way many times; the short form runs each once, and shorter.
 */

const WRITING_MS = LONG ? 700 : 200;
const FIRST = "a master that follows a detached replica for a moment";
const runsOf = (name: string) => (LONG ? (name === FIRST ? 20 : 5) : 1);

describeWithRedis("an older copy in place of the data of a fleet", () => {
  const ways = { ...OLD_COPIES, [RESTARTED]: restartedAppendFile };
  for (const [name, start] of Object.entries(ways)) {
    test(`leads to no reused position and no diverged subscriber: ${name} (G2, G3, G4)`, async () => {
      const runs = runsOf(name);
      const totals = { writes: 0, changes: 0, freshSnapshots: 0, reusedPositions: 0, diverged: 0 };
      const problems: string[] = [];
      for (let run = 0; run < runs; run++) {
        const result = await copyUnderFleet(await start(), WRITING_MS);
        problems.push(...result.reusedPositions, ...result.diverged);
        totals.writes += result.writes;
        totals.changes += result.changes;
        totals.freshSnapshots += result.freshSnapshots;
        totals.reusedPositions += result.reusedPositions.length;
        totals.diverged += result.diverged.length;
        // Three servers follow four groups, and all of them began new epochs.
        expect(result.freshSnapshots).toBeGreaterThanOrEqual(12);
      }
      console.info(
        `${name}: ${runs} runs, ${totals.writes} writes, ${totals.changes} changes received, ${totals.freshSnapshots} fresh snapshots; ${totals.reusedPositions} reused positions, ${totals.diverged} divergences`,
      );
      expect(problems).toEqual([]);
    }, 300_000);
  }
});
