import type { Position } from "../core/position.ts";
import type { Store } from "../core/store.ts";
import type { SnapshotHolder } from "../limits/snapshot-holder.ts";
import type { Channel } from "./channel.ts";
import type { SubscriberQueueLimits } from "./frame-queue.ts";
import type { Interest } from "./interest.ts";

/** Counts parts from when they are read from the store until the subscriber has read them. */
export type UnreadParts = Pick<SnapshotHolder, "hold" | "release" | "check">;

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
  readonly limits: SubscriberQueueLimits;
  /** Counts the part that this subscriber has not read. */
  readonly unread: UnreadParts;
  /** Unix milliseconds. */
  readonly now: () => number;
}
