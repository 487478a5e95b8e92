import type { Position } from "../../../src/core/position.ts";
import type {
  ChangeFrame,
  EndRecord,
  EventFrame,
  FrameRecord,
  HeartbeatFrame,
  OutcomeRecord,
  SendRecord,
  SnapshotItem,
  SubscribeRecord,
  WriteRecord,
} from "./history.ts";

/** A write and its outcome. */
export interface Write {
  readonly record: WriteRecord;
  readonly start: number;
  /** Time of the outcome; Infinity without one. */
  readonly end: number;
  readonly outcome: OutcomeRecord["outcome"];
  readonly answer: OutcomeRecord | undefined;
  /** Of an acknowledged write: the revision of each mutation, undefined when it changed nothing. */
  readonly revisions: readonly (number | undefined)[];
  /** Whether `revisions` is complete. False: acknowledged, but the response left revisions open. */
  readonly placed: boolean;
}

/** A transient event and its outcome. */
export interface Send {
  readonly record: SendRecord;
  readonly start: number;
  readonly end: number;
  readonly outcome: OutcomeRecord["outcome"];
}

/** An attempt to subscribe with all that it received. */
export interface Subscription {
  readonly record: SubscribeRecord;
  readonly frames: readonly FrameRecord[];
  readonly end: EndRecord | undefined;
  /** When the service had answered a call that ended it. */
  readonly revokedAt: number | undefined;
  /** Filled by the trace. */
  segments: readonly Segment[];
}

/** A part of a subscription that begins with a state, or with the promise to continue from one. */
export interface Segment {
  readonly kind: "sync" | "resumed";
  readonly subscription: Subscription;
  /** Index in the subscription, from 0. */
  readonly index: number;
  /** Its start: the position of the state, or the one that was honoured. */
  readonly base: Position;
  /** Of a resumed segment: the end of the replay. */
  readonly head: Position | undefined;
  /** Of a sync: all items of all parts. */
  readonly items: readonly SnapshotItem[];
  /** Of a sync: its timestamp. */
  readonly timestamp: number | undefined;
  /** Whether a sync is complete. No other frame follows in a segment without its last part. */
  readonly complete: boolean;
  /** When the frame that opened it arrived; of a sync, its last part. */
  readonly openedAt: number;
  /** Index of that frame. */
  readonly frame: number;
  /** The later frames. */
  readonly steps: readonly Step[];
  /** When the next segment began or the attempt ended; Infinity when neither happened. */
  readonly endsAt: number;
}

/** A frame after the opening of its segment. */
export interface Step {
  readonly frame: ChangeFrame | EventFrame | HeartbeatFrame;
  readonly t: number;
  /** Index in the attempt. */
  readonly index: number;
}
