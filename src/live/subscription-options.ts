import type { Position } from "../core/position.ts";
import type { Store } from "../core/store.ts";
import type { SnapshotMemory } from "../limits/snapshot-memory.ts";
import type { Channel } from "./channel.ts";
import type { QueueLimits } from "./frame-queue.ts";
import type { Interest } from "./interest.ts";

/** What to follow, and how. */
export interface SubscriptionOptions {
  readonly store: Store;
  /** The open feed of the group. The subscription follows it until it ends. */
  readonly channel: Channel;
  /** What of the group to hear. When it grows, the reader asks for the state of what is new by itself. */
  readonly interest: Interest;
  /** Position up to which the reader knows the group. */
  readonly resumeFrom: Position | undefined;
  readonly limits: QueueLimits;
  /** What snapshots hold for subscribers that have not read them. */
  readonly memory: SnapshotMemory;
  /** Unix milliseconds. */
  readonly now: () => number;
}
