import type { Position } from "../core/position.ts";
import type { Store } from "../core/store.ts";
import type { SnapshotMemory } from "../limits/snapshot-memory.ts";
import type { Channel } from "./channel.ts";
import type { QueueLimits } from "./frame-queue.ts";
import type { Interest } from "./interest.ts";

/** What a subscription follows, and its limits. */
export interface SubscriptionOptions {
  readonly store: Store;
  /** The open feed of the group. The subscription follows it until it ends. */
  readonly channel: Channel;
  /**
   * What to follow of the group. When it grows, the reader itself reads the state of the addition.
   */
  readonly interest: Interest;
  /** Position up to which the reader knows the group. */
  readonly resumeFrom: Position | undefined;
  readonly limits: QueueLimits;
  /** Memory of the snapshot parts that subscribers have not read. */
  readonly memory: SnapshotMemory;
  /** Unix milliseconds. */
  readonly now: () => number;
}
