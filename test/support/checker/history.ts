import type { Position } from "../../../src/core/position.ts";
import type { ValueText } from "./value-text.ts";

/**
 * The format of histories: what the clients of a test did and saw, one record per line of JSON.
 *
 * Times (`t`) are milliseconds of one monotonic clock that all recorders of a machine share. A
 * request is recorded before it is sent, and a response after it has arrived. So a call took
 * effect, if at all, between its two records, and the content of a frame was true at the service no
 * later than the frame's `t`.
 *
 * `group` is any unique name of a (stream, group) pair.
 */
export type History = readonly HistoryRecord[];

/** One line of a history. */
export type HistoryRecord =
  | WriteRecord
  | SendRecord
  | OutcomeRecord
  | SubscribeRecord
  | FrameRecord
  | EndRecord
  | RevokedRecord
  | ListRecord
  | GetRecord;

/** A write is about to be requested. */
export interface WriteRecord {
  readonly kind: "write";
  readonly t: number;
  /** Joins the intention with its outcome; unique in the history. */
  readonly id: string;
  readonly client: string;
  readonly group: string;
  /** One for Set, Update and Delete; one or more for Batch. */
  readonly mutations: readonly MutationRecord[];
  /** Whether the call is a Batch. */
  readonly batch?: boolean;
  /**
   * Names a pipelined stream of writes: those of one pipe and group take effect in the order sent.
   */
  readonly pipe?: string;
}

/** One change that a write requests. */
export interface MutationRecord {
  readonly op: "set" | "update" | "delete";
  readonly item: string;
  /** What a set stores. Unique in its group, so that a change can be traced to its write. */
  readonly value?: ValueText;
  /** For an update: the text that the result will carry as its first-level member `tag`. */
  readonly tag?: string;
  /** Revision that the item must have; 0: it must not exist. */
  readonly expectedRevision?: number;
}

/** A transient event is about to be sent. */
export interface SendRecord {
  readonly kind: "send";
  readonly t: number;
  readonly id: string;
  readonly client: string;
  readonly group: string;
  readonly event: string;
  readonly item?: string;
  /** Unique in its group. */
  readonly value: ValueText;
}

/** The outcome of a write or a send. An intention without one counts as unknown. */
export interface OutcomeRecord {
  readonly kind: "outcome";
  readonly t: number;
  readonly id: string;
  /**
   * `refused`: by the response, nothing happened. `unknown`: there was no response in time, or one
   * by which it may have happened.
   */
  readonly outcome: "acked" | "refused" | "unknown";
  /** Of an acknowledged write; absent when nothing changed (a delete of a missing item). */
  readonly position?: Position;
  /** One per mutation, as far as the response has them. */
  readonly results?: readonly MutationResultRecord[];
  /** Why it was refused, or is unknown. */
  readonly reason?: string;
}

/** The result of one mutation in an acknowledgement. Absent members were not in the response. */
export interface MutationResultRecord {
  /** Absent for a single write (its own position counts) and for a delete of a missing item. */
  readonly position?: Position;
  readonly created?: boolean;
  /** Value before; null when the response carried values and there was no item. */
  readonly oldValue?: ValueText | null;
  readonly newValue?: ValueText;
}

/** An attempt to subscribe begins. */
export interface SubscribeRecord {
  readonly kind: "subscribe";
  readonly t: number;
  /** Names the attempt; unique in the history. */
  readonly subscription: string;
  /** The subscriber, which makes several attempts over time. */
  readonly subscriber: string;
  readonly group: string;
  /** Follows one item; absent: the whole group. */
  readonly item?: string;
  /** Absent: none was given. */
  readonly resumeFrom?: Position;
  /**
   * The client reads slowly on purpose: its frame times are not checked, its queue may be dropped.
   */
  readonly slow?: boolean;
  /** A fresh sync is a correct response to this resume, whatever the options of the check. */
  readonly resumeOptional?: boolean;
  /** It asked for deltas. */
  readonly deltas?: boolean;
  /** Its snapshots have only the newest items, this many. */
  readonly window?: number;
}

/** A frame arrived. Frames of one attempt are recorded in the order received. */
export interface FrameRecord {
  readonly kind: "frame";
  readonly t: number;
  readonly subscription: string;
  readonly frame: Frame;
}

/** An attempt ended. An attempt without this record is live at the end of the history. */
export interface EndRecord {
  readonly kind: "end";
  readonly t: number;
  readonly subscription: string;
  /** `server`: with a code; `cut`: the connection was lost; `client`: the client left. */
  readonly by: "server" | "cut" | "client";
  readonly code?: string;
  readonly reason?: string;
}

/**
 * The service answered a call that ended an attempt. Nothing that is committed later may reach it.
 */
export interface RevokedRecord {
  readonly kind: "revoked";
  readonly t: number;
  readonly subscription: string;
}

/** All pages of a List, recorded when the last one arrived. */
export interface ListRecord {
  readonly kind: "list";
  /** When the first page was requested. */
  readonly t: number;
  readonly client: string;
  readonly group: string;
  readonly pages: readonly ListPage[];
  /** Taken when all writes had completed and all clients were idle. */
  readonly final?: boolean;
}

/** One page of a List. */
export interface ListPage {
  /** When it arrived. The next page was requested after that. */
  readonly t: number;
  readonly position: Position;
  readonly items: readonly SnapshotItem[];
}

/** A Get, recorded when the response arrived. */
export interface GetRecord {
  readonly kind: "get";
  /** When it was requested. */
  readonly t: number;
  /** When the response arrived. */
  readonly end: number;
  readonly client: string;
  readonly group: string;
  readonly item: string;
  /** Absent: there was none. */
  readonly found?: { readonly value: ValueText; readonly revision: number };
}

/** An item in a sync or a page. */
export interface SnapshotItem {
  readonly item: string;
  readonly value: ValueText;
  /** Absent on doors that do not report it. */
  readonly revision?: number;
}

/** What a subscription receives. */
export type Frame = SyncFrame | ChangeFrame | EventFrame | HeartbeatFrame | ResumedFrame;

/** The state at a position, or a part of it. */
export interface SyncFrame {
  readonly type: "sync";
  readonly items: readonly SnapshotItem[];
  readonly position: Position;
  readonly first: boolean;
  readonly last: boolean;
  readonly timestamp: number;
}

/** One change. */
export interface ChangeFrame {
  readonly type: "change";
  readonly change: "create" | "update" | "delete";
  readonly item: string;
  /**
   * The full new value, or what the steps of a delta made of the client's; for a delete, the
   * removed one. Absent: the steps do not apply to what the client holds.
   */
  readonly value?: ValueText;
  readonly position: Position;
  readonly timestamp: number;
  /** Of an update that came as steps. */
  readonly delta?: DeltaRecord;
}

/** The base of steps. */
export interface DeltaRecord {
  /** Revision of the item that the steps apply to. */
  readonly baseRevision: number;
  /** Revision of the item that the client held; absent: it held none. */
  readonly held?: number;
  /** `held` is that of a snapshot without revisions: the item may be older. */
  readonly bare?: true;
}

/** A transient event. */
export interface EventFrame {
  readonly type: "event";
  readonly event: string;
  readonly item?: string;
  readonly value: ValueText;
  readonly timestamp: number;
}

/** A promise that everything up to the position was sent before. */
export interface HeartbeatFrame {
  readonly type: "heartbeat";
  readonly position: Position;
}

/** The requested position was honoured. */
export interface ResumedFrame {
  readonly type: "resumed";
  readonly position: Position;
  readonly head: Position;
}
