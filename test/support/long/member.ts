import { setTimeout as sleep } from "node:timers/promises";
import type { Position } from "../../../src/core/position.ts";
import { type Door, DoorError } from "../doors/door.ts";
import type { Random } from "../random.ts";

/** What a member of a room has received. */
export interface MemberLog {
  /** Number of the write of each change, in the order received, with the time of receipt. */
  readonly received: { readonly write: number; readonly atMs: number }[];
  /** Its position; undefined until its first sync. */
  position: Position | undefined;
  /** Violations: gaps and repetitions. */
  readonly faults: string[];
  /** Reasons with which subscriptions ended. */
  readonly ends: Map<string, number>;
}

/** Dependencies of a member. */
export interface MemberOptions {
  readonly door: Door;
  /** URLs of the fleet; those of killed processes fail for a while. */
  readonly urls: () => readonly string[];
  readonly authorization: string;
  readonly group: { readonly streamName: string; readonly groupId: string };
  readonly dice: Random;
  readonly signal: AbortSignal;
}

/**
 * Follows a room for as long as the test runs: subscribes again, and resumes, whenever a
 * subscription ends, also while its user is no member and is refused.
 */
export async function followAsMember(options: MemberOptions, log: MemberLog): Promise<void> {
  const { door, urls, authorization, group, dice, signal } = options;
  while (!signal.aborted) {
    const url = dice.pick([...urls()]);
    const client = door.client({ url, service: undefined as never, authorization });
    try {
      const resumeFrom = log.position;
      const frames = await client.subscribe({ ...group, ...(resumeFrom && { resumeFrom }) });
      const cancel = () => void frames.return().catch(() => {});
      signal.addEventListener("abort", cancel);
      try {
        for (;;) {
          const { value: frame } = await frames.next();
          if (frame === undefined) break;
          take(frame, log);
        }
      } finally {
        signal.removeEventListener("abort", cancel);
      }
    } catch (error) {
      const reason = error instanceof DoorError ? (error.reason ?? error.code) : String(error);
      log.ends.set(reason, (log.ends.get(reason) ?? 0) + 1);
    } finally {
      await client.close().catch(() => {});
    }
    if (!signal.aborted) await sleep(20 + dice.below(200));
  }
}

type Frame = NonNullable<
  Awaited<ReturnType<Awaited<ReturnType<ReturnType<Door["client"]>["subscribe"]>>["next"]>>["value"]
>;

function take(frame: Frame, log: MemberLog): void {
  switch (frame.kind) {
    case "sync":
      if (frame.last) log.position = frame.position;
      return;
    case "change": {
      const before = log.position;
      if (before !== undefined && before.epoch !== "") {
        const isNext =
          frame.position.epoch === before.epoch && frame.position.revision === before.revision + 1;
        if (!isNext) log.faults.push(`${frame.position.revision} after ${before.revision}`);
      }
      log.position = frame.position;
      log.received.push({ write: Number(frame.data), atMs: performance.now() });
      return;
    }
    default:
  }
}
