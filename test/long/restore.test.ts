import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Position } from "../../src/core/position.ts";
import { type LmdbStore, openLmdbStore } from "../../src/stores/lmdb/lmdb-store.ts";
import { RESTORE_WAYS, hasProgram } from "../stores/lmdb/restore-ways.ts";
import { commit, groupOf, put } from "../stores/suite/fixture.ts";
import { LONG, seedOfRun } from "../support/long/violations.ts";
import { random } from "../support/random.ts";

/* Verifies G4 for restored data: no position from before the restore is honoured. */

const RESTORES = LONG ? 50 : 1;
const TIMEOUT_MS = 300_000;
const GROUP = groupOf("room");

let base: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "millrace-restore-"));
});
afterEach(() => rm(base, { recursive: true, force: true }));

const open = (folder: string) => openLmdbStore({ folder, sweepIntervalMs: 0 });

async function write(store: LmdbStore, count: number): Promise<Position[]> {
  const positions: Position[] = [];
  for (let i = 0; i < count; i++)
    positions.push((await commit(store, GROUP, put(`i${i % 5}`, i))).position);
  return positions;
}

async function honoured(store: LmdbStore, positions: readonly Position[]): Promise<number> {
  const limits = { maxCount: 1000, maxBytes: 1_000_000 };
  const reads = await Promise.all(positions.map((from) => store.since(GROUP, from, limits)));
  return reads.filter(({ lost }) => !lost).length;
}

for (const way of RESTORE_WAYS) {
  test(
    `no position from before a restore is honoured: ${way.name} (G4)`,
    async ({ skip }) => {
      if (!(await hasProgram(way.program))) skip(`${way.program} is not installed`);
      const seed = seedOfRun();
      const dice = random(seed);
      const folder = join(base, "data");
      let tested = 0;
      let wrong = 0;
      let lostByRestart = 0;
      for (let i = 0; i < RESTORES; i++) {
        const backup = join(base, `backup-${i}`);
        const first = await open(folder);
        const seen = await write(first, 1 + dice.below(5));
        await first.close();
        await way.backUp(folder, backup);
        let after = 0;
        // Some restarts after the backup, which keep every position.
        for (let starts = 1 + dice.below(3); starts > 0; starts--) {
          const store = await open(folder);
          if ((await honoured(store, seen)) < seen.length) lostByRestart += 1;
          const written = await write(store, 1 + dice.below(5));
          after += written.length;
          seen.push(...written);
          await store.close();
        }
        await way.restore(backup, folder);
        const restored = await open(folder);
        // As many changes as before the restore, so that the same revisions exist again.
        const own = await write(restored, after + 1);
        wrong += await honoured(restored, seen);
        tested += seen.length;
        expect(await honoured(restored, own)).toBe(own.length);
        await restored.close();
        await rm(backup, { recursive: true });
      }
      console.info(
        `${way.name}: ${RESTORES} restores, ${tested} old positions, ${wrong} honoured, ${lostByRestart} restarts that lost positions (seed ${seed})`,
      );
      expect({ wrong, lostByRestart }).toEqual({ wrong: 0, lostByRestart: 0 });
    },
    TIMEOUT_MS,
  );
}
