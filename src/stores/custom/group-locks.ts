import { StreamError } from "../../core/errors.ts";
import type { GroupKey } from "../../core/names.ts";
import { groupKeyText } from "../../core/names.ts";

/** A fair lock per group: one holder at a time, first come, first served. */
export interface GroupLocks {
  /** Runs the work once all earlier work of the group has ended, even if that failed. */
  run<T>(group: GroupKey, work: () => Promise<T>): Promise<T>;
  /** Whether any work of the group is running or waiting. */
  isHeld(group: GroupKey): boolean;
}

/** Most calls that wait for one group: its functions are too slow for more. */
const MAX_WAITING = 1000;

/** Creates the locks, all free. */
export function createGroupLocks(): GroupLocks {
  const queues = new Map<string, { last: Promise<void>; waiting: number }>();
  return {
    isHeld: (group) => queues.has(groupKeyText(group)),
    async run(group, work) {
      const key = groupKeyText(group);
      const queue = queues.get(key) ?? { last: Promise.resolve(), waiting: 0 };
      if (queue.waiting >= MAX_WAITING) {
        throw new StreamError(
          "OVERLOADED",
          "Too many calls wait for the functions of the custom stream; the call may be made again later.",
        );
      }
      queues.set(key, queue);
      queue.waiting++;
      const result = queue.last.then(work);
      queue.last = result.then(
        () => {},
        () => {},
      );
      try {
        return await result;
      } finally {
        queue.waiting--;
        if (queue.waiting === 0) queues.delete(key);
      }
    },
  };
}
