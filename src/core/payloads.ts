import type { Json } from "./value.ts";

/* The payloads of triggers and gates, as handlers receive them. */

/** Payload of a `stream` trigger: the same fields as a frame on a WebSocket. */
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
  /** `data` is the full new value; for a delete, the removed one. */
  readonly event:
    | { readonly type: "create" | "update" | "delete"; readonly data: Json }
    | { readonly type: "event"; readonly event: { readonly type: string; readonly data: Json } };
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
  /** The context that `auth_function` returned for the caller; null when it returned none. */
  readonly context: Json;
  /**
   * Id of the caller's connection: a leave has the same as its join. Absent only when an earlier
   * version of the service, without these ids, let the subscription in.
   */
  readonly connection_id?: string;
}

/** Payload of `stream:join` triggers. */
export interface JoinPayload extends LeavePayload {
  readonly action: "subscribe";
  readonly connection_id: string;
}

/**
 * Object that a join gate may return. It refuses with `unauthorized: true`, an `error`, or a
 * `statusCode` of 400 or more. Nothing and null allow; any other value refuses.
 */
export interface GateAnswer {
  /** True refuses; false, null and absent allow. Any other value refuses. */
  readonly unauthorized?: boolean | null;
}
