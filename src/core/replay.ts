import type { ChangeEvent, GroupEvent } from "./change.ts";
import type { Position } from "./position.ts";

/**
 * Merges changes read from the log with what the live feed released meanwhile.
 *
 * Both are in order, and the feed's part is contiguous. In the result each change comes once, and each
 * transient event right after the change it was sent after, or as soon after as is still possible. Those
 * sent before the end of what was promised as a replay are left out: none comes within a replay.
 *
 * @param replayed Changes from the log, contiguous, oldest first.
 * @param released What the feed released while the log was read, oldest first.
 * @param promised Revision that the replay was said to reach.
 * @returns `merged`: everything up to the last replayed change; `left`: what comes after it.
 */
export function mergeReplay(
  replayed: readonly ChangeEvent[],
  released: readonly GroupEvent[],
  promised = 0,
): { readonly merged: readonly GroupEvent[]; readonly left: readonly GroupEvent[] } {
  const merged: GroupEvent[] = [];
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
    if (released[next]?.kind === "change" && place(released[next] as ChangeEvent) === revision)
      next++;
  }
  return { merged, left: released.slice(next) };
}

/**
 * Whether a reader who knows everything up to `cursor` can go on with a feed that released everything
 * after `feedStart`, without a gap.
 */
export function isJoinable(cursor: Position, feedStart: Position): boolean {
  const sameHistory = feedStart.epoch === cursor.epoch || feedStart.epoch === "";
  return sameHistory && feedStart.revision <= cursor.revision;
}

function isBefore(event: GroupEvent, change: ChangeEvent): boolean {
  const { epoch, revision } = change.position;
  // What was sent before a group's first change has no epoch; nor has what was sent after it was forgotten.
  if (event.kind === "event" && event.after.epoch !== epoch)
    return event.timestamp < change.timestamp;
  return place(event) < revision;
}

/** Revision that an event belongs to: its own, or that of the change it was sent after. */
function place(event: GroupEvent): number {
  return event.kind === "change" ? event.position.revision : event.after.revision;
}
