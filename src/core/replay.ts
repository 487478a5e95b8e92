import type { LiveEvent, LoggedChange } from "./change.ts";
import type { Position } from "./position.ts";

/**
 * Merges changes read from the log with the events that the live feed released meanwhile.
 *
 * Both are in order, and the feed's changes are contiguous. In the result each change comes once,
 * and each transient event comes right after the change it was sent after, or as soon after it as
 * is still possible. Events sent before the end of the promised replay are left out: a replay
 * contains changes only.
 *
 * In the example of retention.ts, a subscriber resumes from e/2. While the store reads 3 4 5 from
 * the log, the feed, which began at e/4, releases 5 6. `merged` is 3 4 5, each once, and `left` is
 * 6.
 *
 * @param replayed Changes from the log, contiguous, oldest first.
 * @param released Events that the feed released while the log was read, oldest first.
 * @param promised Revision that the subscriber was promised the replay reaches.
 * @returns `merged`: everything up to the last replayed change; `left`: the events after it.
 */
export function mergeReplay(
  replayed: readonly LoggedChange[],
  released: readonly LiveEvent[],
  promised = 0,
): { readonly merged: readonly LiveEvent[]; readonly left: readonly LiveEvent[] } {
  const merged: LiveEvent[] = [];
  let next = 0;
  for (const change of replayed) {
    const { revision } = change.position;
    for (
      let event = released[next];
      event !== undefined && isBefore(event, change);
      event = released[++next]
    ) {
      if (event.kind === "event" && place(event) >= promised) merged.push(event);
    }
    merged.push(change);
    const same = released[next];
    if (same !== undefined && same.kind !== "event" && place(same) === revision) next++;
  }
  return { merged, left: released.slice(next) };
}

/**
 * Whether a reader that has everything up to `cursor` can continue, without a gap, with a feed that
 * released everything after `feedStart`.
 */
export function isJoinable(cursor: Position, feedStart: Position): boolean {
  const sameHistory = feedStart.epoch === cursor.epoch || feedStart.epoch === "";
  return sameHistory && feedStart.revision <= cursor.revision;
}

function isBefore(event: LiveEvent, change: LoggedChange): boolean {
  const { epoch, revision } = change.position;
  // An event sent before a group's first change, or after the group was forgotten, has no epoch.
  if (event.kind === "event" && event.after.epoch !== epoch)
    return event.timestamp < change.timestamp;
  return place(event) < revision;
}

/** Revision that an event belongs to: its own, or that of the change it was sent after. */
function place(event: LiveEvent): number {
  return event.kind === "event" ? event.after.revision : event.position.revision;
}
