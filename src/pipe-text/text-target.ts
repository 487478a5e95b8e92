import { type JsonValue, type MessageInitShape, fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client, Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { StreamService as StreamServiceDesc } from "../../gen/millrace/v1/stream_service_pb.ts";
import type { UpdateOpSchema } from "../../gen/millrace/v1/types_pb.ts";
import { REASONS, type Reason, StreamError } from "../core/errors.ts";
import type { Position } from "../core/position.ts";
import type { Json } from "../core/value.ts";
import type { UpdateStep } from "../service/library-types.ts";
import type { StreamService } from "../service/stream-service.ts";

/**
 * Where text is written: the service in this process, or a client of `StreamService` from
 * `@connectrpc/connect`.
 */
export type TextTarget =
  | Pick<StreamService, "update" | "registerFunction">
  | Pick<Client<typeof StreamServiceDesc>, "update">;

/** An update that takes effect once, however often it is sent. */
export interface KeyedUpdate {
  readonly streamName: string;
  readonly groupId: string;
  readonly itemId: string;
  readonly ops: readonly UpdateStep[];
  readonly expectedEpoch?: string;
  readonly idempotencyKey: string;
}

/** The result of an update. */
export interface KeyedResult {
  readonly position: Position;
  readonly created: boolean;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

/** Sends one update, once. */
export type SendUpdate = (
  update: KeyedUpdate,
  signal: AbortSignal | undefined,
) => Promise<KeyedResult>;

/** Timeout of one call over the network, in milliseconds; then it is repeated. */
const CALL_TIMEOUT_MS = 10_000;

/** The updates of a target. */
export function updatesOf(target: TextTarget): SendUpdate {
  if ("registerFunction" in target) return async (update) => target.update(update);
  return async (update, signal) => {
    const options: CallOptions = { timeoutMs: CALL_TIMEOUT_MS, ...(signal && { signal }) };
    const done = await target.update({ ...update, ops: update.ops.map(messageOf) }, options);
    const { epoch = "", revision = 0n } = done.position ?? {};
    const position = { epoch, revision: Number(revision) };
    return { position, created: done.created, errors: done.errors };
  };
}

/** How a call failed. */
export interface CallFailure {
  /** The service's reason; undefined when it is unknown. */
  readonly reason: Reason | undefined;
  /** Whether the same call may succeed later. */
  readonly isRetryable: boolean;
  /** When it may be sent again, in milliseconds, if the service said so. */
  readonly retryAfterMs: number | undefined;
}

/**
 * Failures without a reason of the service, which come from the network or from a proxy, after which
 * a call is repeated. Whether it took effect does not matter, because of its key.
 */
const RETRYABLE_CODES: readonly Code[] = [
  Code.Aborted,
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.Internal,
  Code.ResourceExhausted,
  Code.Unavailable,
  Code.Unknown,
];

/** Reads a failure. */
export function failureOf(error: unknown): CallFailure {
  if (error instanceof StreamError) {
    const { reason, retryable, metadata } = error;
    // A service in this process that shuts down does not come back.
    const isRetryable = retryable && reason !== "SHUTTING_DOWN";
    return { reason, isRetryable, retryAfterMs: retryAfterOf(metadata) };
  }
  if (!(error instanceof ConnectError))
    return { reason: undefined, isRetryable: false, retryAfterMs: undefined };
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "millrace");
  const reason = info !== undefined && isReason(info.reason) ? info.reason : undefined;
  return {
    reason,
    isRetryable:
      reason === undefined ? RETRYABLE_CODES.includes(error.code) : REASONS[reason].retryable,
    retryAfterMs: retryAfterOf(info?.metadata ?? {}),
  };
}

function retryAfterOf(metadata: Readonly<Record<string, string>>): number | undefined {
  const ms = Number(metadata["retry_after_ms"] ?? Number.NaN);
  return ms >= 0 ? ms : undefined;
}

function isReason(text: string): text is Reason {
  return Object.hasOwn(REASONS, text);
}

/** A step as a message. */
function messageOf(step: UpdateStep): MessageInitShape<typeof UpdateOpSchema> {
  switch (step.type) {
    case "set":
      return {
        op: { case: "set", value: { path: step.path, value: valueOf(step.value ?? null) } },
      };
    case "merge":
    case "append":
      return {
        op: { case: step.type, value: { path: keysOf(step.path), value: valueOf(step.value) } },
      };
    case "increment":
    case "decrement":
      return { op: { case: step.type, value: { path: step.path, by: BigInt(step.by) } } };
    case "remove":
      return { op: { case: "remove", value: { path: step.path } } };
  }
}

/** A path of merge or append as keys; empty for the root. */
export function keysOf(path: string | readonly string[] | null | undefined): string[] {
  if (path === undefined || path === null || path === "") return [];
  return typeof path === "string" ? [path] : [...path];
}

function valueOf(json: Json) {
  return fromJson(ValueSchema, json as JsonValue);
}
