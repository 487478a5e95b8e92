import { groupOfText } from "../../core/names.ts";
import type { HistoryOf } from "../../core/retention.ts";
import type { History } from "../../core/store.ts";
import type { RedisKeys } from "./keys.ts";
import type { SweepContext } from "./redis-reads.ts";
import { DUE, SWEEP } from "./scripts.ts";
import { startInterval } from "../../timers/timers.ts";

/** Sweeps groups without writes: every process sweeps each partition from time to time. */
export interface Sweeper {
  /** Sweeps all groups that are due. */
  sweep(): Promise<void>;
  close(): void;
}

/** How many groups one script sweeps. */
const GROUPS_PER_SCRIPT = 50;

/** Starts sweeping one partition per interval; 0: never. */
export function createSweeper(context: SweepContext, intervalMs: number): Sweeper {
  const { keys } = context;
  let next = 0;
  let isSweeping = false;
  let isClosed = false;
  const sweepNext = async () => {
    if (isSweeping) return;
    isSweeping = true;
    try {
      await sweepPartition(context, next++ % keys.partitions, () => isClosed);
    } catch {
      // The next round retries it, here or in another process.
    } finally {
      isSweeping = false;
    }
  };
  const timer = intervalMs > 0 ? startInterval(intervalMs, () => void sweepNext()) : undefined;
  timer?.unref();
  return {
    async sweep() {
      const partitions = Array.from({ length: keys.partitions }, (_, partition) => partition);
      await Promise.all(
        partitions.map((partition) => sweepPartition(context, partition, () => isClosed)),
      );
    },
    close() {
      isClosed = true;
      timer?.cancel();
    },
  };
}

async function sweepPartition(
  { servers, keys, historyOf, windowMs, clock }: SweepContext,
  partition: number,
  isClosed: () => boolean,
): Promise<void> {
  const { tag, state, due } = keys.ofPartition(partition);
  const time = clock === undefined ? "" : String(clock());
  while (!isClosed()) {
    const args = [time, String(GROUPS_PER_SCRIPT)];
    const reply = await servers.run(tag, DUE, [due], args, "read");
    const texts = (reply as unknown[]).map(String);
    if (texts.length === 0) return;
    for (const [history, group] of byHistory(texts, historyOf)) {
      const limits = [history.maxChanges, history.maxAgeMs, history.maxBytes, windowMs].map(String);
      const names = [state, due, ...group.flatMap((text) => keysOf(keys, partition, text))];
      await servers.run(tag, SWEEP, names, [time, ...limits, ...group], "read");
    }
    if (texts.length < GROUPS_PER_SCRIPT) return;
  }
}

/** Groups by the history that they keep. */
function byHistory(
  texts: readonly string[],
  historyOf: HistoryOf,
): ReadonlyMap<History, readonly string[]> {
  const groups = new Map<History, string[]>();
  for (const text of texts) {
    const history = historyOf(groupOfText(text).streamName);
    const group = groups.get(history);
    if (group === undefined) groups.set(history, [text]);
    else group.push(text);
  }
  return groups;
}

function keysOf(keys: RedisKeys, partition: number, text: string): readonly string[] {
  const group = keys.ofGroup(partition, text);
  return [group.head, group.items, group.order, group.log, group.keys];
}
