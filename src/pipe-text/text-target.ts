import { type JsonValue, type MessageInitShape, fromJson, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client, Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { StreamService as StreamServiceDesc } from "../../gen/millrace/v1/stream_service_pb.ts";
import type {
  Position as PositionMessage,
  UpdateOpSchema,
} from "../../gen/millrace/v1/types_pb.ts";
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
  | Pick<StreamService, "batch" | "get" | "registerFunction">
  | Pick<Client<typeof StreamServiceDesc>, "batch" | "get">;

/** The item that a text is written to. */
export interface TextItem {
  readonly streamName: string;
  readonly groupId: string;
  readonly itemId: string;
}

/** An update of the item that takes effect once, however often it is sent. */
export interface KeyedUpdate {
  readonly ops: readonly UpdateStep[];
  readonly expectedEpoch?: string | undefined;
  readonly expectedRevision?: number | undefined;
  readonly idempotencyKey: string;
}

/** The result of an update. */
export interface KeyedResult {
  readonly position: Position;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

/** The item as it is stored. */
export interface ReadItem {
  readonly data: Json;
  readonly revision: number;
}

/** The calls of a target that concern one item. Each is sent once. */
export interface TextCalls {
  /** Updates the item. No values come back: they would have the whole text, twice. */
  update(update: KeyedUpdate): Promise<KeyedResult>;
  /** Reads the item; undefined when there is none. */
  read(): Promise<ReadItem | undefined>;
}

/** Timeout of one call over the network, in milliseconds; then it is repeated. */
const CALL_TIMEOUT_MS = 10_000;

/** The calls of a target. */
export function callsOf(
  target: TextTarget,
  item: TextItem,
  signal: AbortSignal | undefined,
): TextCalls {
  const { itemId, ...group } = item;
  if ("registerFunction" in target) {
    return {
      async update({ ops, expectedEpoch, expectedRevision, idempotencyKey }) {
        const { results, position } = await target.batch({
          ...group,
          idempotencyKey,
          mutations: [{ update: { itemId, ops, ...defined({ expectedRevision }) } }],
          ...defined({ expectedEpoch }),
        });
        return { position, errors: results.flatMap(({ errors }) => errors) };
      },
      read: async () => target.get(item),
    };
  }
  const options: CallOptions = { timeoutMs: CALL_TIMEOUT_MS, ...defined({ signal }) };
  return {
    async update({ ops, expectedRevision, ...keyed }) {
      const revision = expectedRevision === undefined ? undefined : BigInt(expectedRevision);
      const value = { itemId, ops: ops.map(messageOf), ...defined({ expectedRevision: revision }) };
      const mutation = { case: "update", value } as const;
      const request = { ...group, ...defined(keyed), mutations: [{ mutation }] };
      const { position, results } = await target.batch(request, options);
      const errors = results.flatMap(({ result }) =>
        result.case === "update" ? result.value.errors : [],
      );
      return { position: positionOf(position), errors };
    },
    async read() {
      const { item: found } = await target.get(item, options);
      if (found === undefined) return undefined;
      const data = found.data === undefined ? null : (toJson(ValueSchema, found.data) as Json);
      return { data, revision: Number(found.revision) };
    },
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
  /** Revision of the item instead of the expected one; 0: there is none. */
  readonly currentRevision: number | undefined;
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
export function callFailureOf(error: unknown): CallFailure {
  if (error instanceof StreamError) {
    const { reason, retryable, metadata } = error;
    // A service in this process that shuts down does not come back.
    const isRetryable = retryable && reason !== "SHUTTING_DOWN";
    return { reason, isRetryable, ...numbersOf(metadata) };
  }
  if (!(error instanceof ConnectError))
    return { reason: undefined, isRetryable: false, ...numbersOf({}) };
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "millrace");
  const reason = info !== undefined && isReason(info.reason) ? info.reason : undefined;
  const isRetryable =
    reason === undefined ? RETRYABLE_CODES.includes(error.code) : REASONS[reason].retryable;
  return { reason, isRetryable, ...numbersOf(info?.metadata ?? {}) };
}

function numbersOf(metadata: Readonly<Record<string, string>>) {
  const numberOf = (key: string) => {
    const number = Number(metadata[key] ?? Number.NaN);
    return number >= 0 ? number : undefined;
  };
  return {
    retryAfterMs: numberOf("retry_after_ms"),
    currentRevision: numberOf("current_revision"),
  };
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

function positionOf(message: PositionMessage | undefined): Position {
  return { epoch: message?.epoch ?? "", revision: Number(message?.revision ?? 0n) };
}

/** The fields that have a value: an absent field is not one that is undefined. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function valueOf(json: Json) {
  return fromJson(ValueSchema, json as JsonValue);
}
