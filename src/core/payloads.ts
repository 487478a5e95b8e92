import type { Cause } from "./lifetime.ts";
import type { Json } from "./value.ts";

/* The payloads of triggers and gates, as handlers receive them. */

/** Payload of a `stream` trigger: the same fields as a frame on a WebSocket, and the author. */
export interface StreamPayload {
  readonly type: "stream";
  /** Unix milliseconds, strictly increasing within the group. */
  readonly timestamp: number;
  /** Position of the group after the change; absent for a transient event. */
  readonly epoch?: string;
  readonly revision?: number;
  readonly streamName: string;
  readonly groupId: string;
  /** The item that it concerns; null: the group as a whole. */
  readonly id: string | null;
  /**
   * `data` is the full new value; for a delete, the removed one. `cause` says why the service itself
   * deleted the item; absent: a caller made the change.
   */
  readonly event:
    | {
        readonly type: "create" | "update" | "delete";
        readonly data: Json;
        readonly cause?: Cause;
      }
    | { readonly type: "event"; readonly event: { readonly type: string; readonly data: Json } };
  /**
   * Author of the change or event: `user:<id>`, `key:<name>` or `function:<id>`; "" when it has
   * none. The id of a user has at most 256 bytes of UTF-8.
   */
  readonly author: string;
}

/**
 * Payload of a `stream` trigger with `start: "state"`: a part of the state of a group or item, or an
 * event. Parts of one group come one after the other, from `first` to `last`, with nothing of the
 * group in between, and replace everything that came before them.
 */
export type StatePayload = StreamPayload | SyncPayload;

/** A part of the state of a group, or of the trigger's item, at one position. */
export interface SyncPayload extends Omit<StreamPayload, "event" | "epoch" | "revision"> {
  /** Position of the group at which the state was read. */
  readonly epoch: string;
  readonly revision: number;
  readonly event: {
    readonly type: "sync";
    /** The values, in creation order. Of a trigger with `item_id`: its value; null: it is missing. */
    readonly data: Json;
    /** Ids of the items, in the order of their values. */
    readonly ids: readonly string[];
    readonly first: boolean;
    readonly last: boolean;
    /**
     * The reason. `registered`: the trigger starts. Otherwise it starts over for this group:
     * `overflow`: too many events waited. `max_away`: they waited too long. `lost_history`: the store
     * has lost a part of the group's history.
     */
    readonly reason: "registered" | "overflow" | "max_away" | "lost_history";
  };
}

/** Payload of `stream:leave` triggers. */
export interface LeavePayload {
  /**
   * Id that the client, or the service, gave the subscription. Handlers recognize repetitions by
   * it.
   */
  readonly subscription_id: string;
  readonly stream_name: string;
  readonly group_id: string;
  /** The item that it follows; null: the whole group. */
  readonly id: string | null;
  /**
   * Id of the user; null when nobody named one. Absent only when an earlier version of the service
   * let the subscription in.
   */
  readonly user?: string | null;
  /** The context that `auth_function` returned for the caller; null when it returned none. */
  readonly context: Json;
  /**
   * Id of the caller's connection: a leave has the same as its join. Absent only when an earlier
   * version of the service, without these ids, let the subscription in.
   */
  readonly connection_id?: string;
}

/** Payload of `stream:join` triggers about a subscription. */
export interface JoinPayload extends LeavePayload {
  readonly action: "subscribe";
  /** Present when the subscription is open already, and its rights are checked again. */
  readonly recheck?: true;
  readonly user: string | null;
  readonly connection_id: string;
}

/** Payload of `stream:join` triggers about a read of a user. */
export interface ReadPayload {
  readonly action: "read";
  readonly stream_name: string;
  readonly group_id: string;
  /** The item to read; null: the items or the history of the whole group. */
  readonly id: string | null;
  /** Id of the user; null when nobody named one. */
  readonly user: string | null;
  /** The context that `auth_function` returned for the caller; null when it returned none. */
  readonly context: Json;
  /** Id of the caller's connection. */
  readonly connection_id: string;
}

/** Payload of `stream:write` triggers about a write of a user. */
export interface WritePayload {
  readonly action: "set" | "update" | "delete" | "batch" | "send";
  readonly stream_name: string;
  readonly group_id: string;
  /** The item to write; null: a batch, or an event for the whole group. */
  readonly id: string | null;
  /** Of a set or a send. */
  readonly data?: Json;
  /** Steps of an update. */
  readonly ops?: readonly WriteStep[];
  /** Of a batch, in order. */
  readonly mutations?: readonly WriteMutation[];
  /** Type of the event of a send. */
  readonly type?: string;
  /** Id of the user; null when nobody named one. */
  readonly user: string | null;
  /** The context that `auth_function` returned for the caller; null when it returned none. */
  readonly context: Json;
  /** Id of the caller's connection. */
  readonly connection_id: string;
}

/** One step of an update, as write gates see it. */
export interface WriteStep {
  readonly type: "set" | "merge" | "increment" | "decrement" | "append" | "remove";
  /** A key, or the keys of a merge or append; `""` and `[]` are the root. */
  readonly path: string | readonly string[];
  /** Of set, merge and append. */
  readonly value?: Json;
  /** Of increment and decrement. */
  readonly by?: number;
}

/** One write of a batch, as write gates see and return it. */
export type WriteMutation =
  | { readonly kind: "set"; readonly id: string; readonly data: Json }
  | { readonly kind: "update"; readonly id: string; readonly ops: readonly WriteStep[] }
  | { readonly kind: "delete"; readonly id: string };

/**
 * Object that a gate may return. It refuses with `unauthorized: true`, an `error`, or a
 * `statusCode` of 400 or more. Nothing and null allow; any other value refuses.
 */
export interface GateAnswer {
  /** True refuses; false, null and absent allow. Any other value refuses. */
  readonly unauthorized?: boolean | null;
}

/** Object that a write gate may return. Content in it replaces that of the write. */
export interface WriteGateAnswer extends GateAnswer {
  /** New value of a set or a send: any JSON value, null included. Absent: it stays. */
  readonly data?: Json;
  /**
   * New content of a batch: the same number of mutations, with the same kinds and ids, in order.
   * Absent or null: it stays.
   */
  readonly mutations?: readonly WriteMutation[] | null;
}
