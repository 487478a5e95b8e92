import type { Json } from "./value.ts";

/* What functions are called with by triggers and gates, as their handlers see it. */

/** What a `stream` trigger calls its function with: what a WebSocket would be told. */
export interface StreamPayload {
  readonly type: "stream";
  /** Unix milliseconds, strictly increasing within the group. */
  readonly timestamp: number;
  /** Position of the group after the change; absent for a transient event. */
  readonly epoch?: string;
  readonly revision?: number;
  readonly streamName: string;
  readonly groupId: string;
  /** The item that it is about; null: the group as a whole. */
  readonly id: string | null;
  /** `data` is the full new value; for a delete, the removed one. */
  readonly event:
    | { readonly type: "create" | "update" | "delete"; readonly data: Json }
    | { readonly type: "event"; readonly event: { readonly type: string; readonly data: Json } };
}

/** What `stream:join` and `stream:leave` triggers call their functions with. */
export interface JoinPayload {
  /** As its client, or the service, calls the subscription. Handlers tell repetitions by it. */
  readonly subscription_id: string;
  readonly stream_name: string;
  readonly group_id: string;
  /** The item that it follows; null: the whole group. */
  readonly id: string | null;
  /** What `auth_function` said of the caller; null when it said nothing. */
  readonly context: Json;
}

/** What a join gate may answer. Whatever is not `unauthorized` allows. */
export interface GateAnswer {
  /** Only false, null and nothing allow. */
  readonly unauthorized?: boolean | null;
}
