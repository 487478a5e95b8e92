import type { RedisServers } from "../../redis/redis-servers.ts";
import { textOf } from "./encoding.ts";
import type { RedisKeys } from "./keys.ts";
import { REPAIR } from "./scripts.ts";

/** Dependencies of repairs. */
interface RepairContext {
  readonly servers: RedisServers;
  readonly keys: RedisKeys;
  /** Wall clock for tests; undefined: that of the server. */
  readonly clock: (() => number) | undefined;
  readonly newEpoch: () => string;
}

/**
 * Makes the keys of a group agree (see lua/repair.lua). Two cases need it: the first write of a group
 * in a new lineage, and a read that finds keys which do not agree.
 */
export interface GroupRepair {
  /**
   * Compares the keys of a group, and repairs them. If they did not agree, the group has a new epoch
   * then. Calls for the same group share the work.
   *
   * @throws StreamError STORE_UNAVAILABLE when the server cannot be reached in time.
   */
  repair(partition: number, groupText: string): Promise<void>;
}

/** What the first run of the script scans, cursor, and greatest revision. */
const START: readonly string[] = ["items", "0", "0"];

/** Creates the repairs of one process. */
export function createGroupRepair({ servers, keys, clock, newEpoch }: RepairContext): GroupRepair {
  const underWay = new Map<string, Promise<void>>();

  const run = async (partition: number, groupText: string) => {
    const { tag, state, groups, streams, due, lifetimes, bound } = keys.ofPartition(partition);
    const { head, items, order, log } = keys.ofGroup(partition, groupText);
    const names = [state, groups, streams, due, head, items, order, log, lifetimes, bound];
    const args = [groupText, newEpoch(), clock === undefined ? "" : String(clock())];
    let progress = START;
    while (progress[0] !== "") {
      // A run may be repeated: it only finds less to do.
      const reply = await servers.run(tag, REPAIR, names, [...args, ...progress], "read");
      progress = (reply as readonly unknown[]).map(textOf);
    }
  };

  return {
    repair(partition, groupText) {
      const known = underWay.get(groupText);
      if (known !== undefined) return known;
      const done = run(partition, groupText).finally(() => underWay.delete(groupText));
      underWay.set(groupText, done);
      return done;
    },
  };
}
