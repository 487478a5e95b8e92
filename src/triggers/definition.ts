import { FunctionError } from "../core/function-call.ts";
import { StreamError } from "../core/errors.ts";
import { isRecord } from "../core/is-record.ts";
import { isPresenceStream } from "../core/presence-stream.ts";
import {
  type RetryPolicy,
  TRIGGER_TYPES,
  type TriggerConfig,
  type TriggerDefinition,
  type TriggerType,
} from "../core/trigger.ts";
import { type Json, Value } from "../core/value.ts";
import {
  type ConfigSection,
  describeValue,
  readInteger,
  invalidField,
  readName,
  readToggle,
} from "./config-fields.ts";
import { durableConfig, formatAway } from "./durable-config.ts";

/** A trigger as registered, not yet validated. */
export interface TriggerRequest {
  /** One of `stream`, `stream:join`, `stream:leave` and `stream:write`. */
  readonly type: string;
  /** Id of the function that it calls. It need not have a provider yet. */
  readonly function_id: string;
  /** What it matches; the allowed keys depend on the type. */
  readonly config?: unknown;
  /** Passed to the function beside each payload: any JSON value. */
  readonly metadata?: unknown;
}

/** A validated definition, with warnings. */
export interface ReadTrigger {
  readonly definition: TriggerDefinition;
  /** Unknown keys of its config: ignored, but worth a warning. */
  readonly unknownKeys: readonly string[];
}

/** Most attempts of a trigger with `retry`. */
const MAX_ATTEMPTS = 100;
/** Longest pause before the second attempt, in milliseconds: an hour. */
const MAX_INITIAL_BACKOFF_MS = 3_600_000;
const DEFAULT_INITIAL_BACKOFF_MS = 1000;

const KEYS: Readonly<Record<TriggerType, readonly string[]>> = {
  stream: [
    "stream_name",
    "group_id",
    "item_id",
    "condition_function_id",
    "retry",
    "durable",
    "start",
    "max_away",
  ],
  "stream:join": ["condition_function_id", "gate"],
  "stream:leave": ["condition_function_id", "durable"],
  "stream:write": ["stream_name", "group_id", "item_id", "condition_function_id"],
};

/**
 * Checks a trigger. In `config`, `null` and `""` count as absent; unknown keys are ignored, as in
 * other payloads.
 *
 * @throws FunctionError trigger_type_not_found, trigger_invalid with a sentence that names the
 *   field.
 */
export function readTrigger(request: TriggerRequest): ReadTrigger {
  const type = TRIGGER_TYPES.find((known) => known === request.type);
  if (type === undefined) {
    throw new FunctionError(
      "trigger_type_not_found",
      `type is ${describeValue(request.type)}; it may be stream, stream:join, stream:leave or stream:write.`,
    );
  }
  const section = request.config ?? {};
  if (!isRecord(section)) throw invalidField("config", section, "an object");
  const functionId = readName("function_id", request.function_id);
  if (functionId === undefined)
    throw invalidField("function_id", undefined, "the id of a function");
  const config: TriggerConfig = {
    conditionFunctionId: readName("config.condition_function_id", section["condition_function_id"]),
    ...((type === "stream" || type === "stream:write") && placeConfig(type, section)),
    ...(type === "stream" && { retry: retryOf(section["retry"]) }),
    ...durableConfig(type, section),
    ...(type === "stream:join" && { gate: readToggle("config.gate", section["gate"], true) }),
  };
  return {
    definition: { type, functionId, config, metadata: metadataOf(request.metadata) },
    unknownKeys: Object.keys(section).filter((key) => !KEYS[type].includes(key)),
  };
}

/** The keys that a trigger's config may have. */
export function configKeys(type: TriggerType): readonly string[] {
  return KEYS[type];
}

/** A definition in the form in which it is registered. */
export function writeTrigger(definition: TriggerDefinition): TriggerRequest {
  const { type, functionId, metadata } = definition;
  const { streamName, groupId, itemId, conditionFunctionId, gate, retry } = definition.config;
  const { durable, start, maxAwayMs } = definition.config;
  const config = {
    stream_name: streamName,
    group_id: groupId,
    item_id: itemId,
    condition_function_id: conditionFunctionId,
    gate,
    retry: retry && {
      max_attempts: retry.maxAttempts,
      initial_backoff_ms: retry.initialBackoffMs,
    },
    durable,
    start,
    max_away: maxAwayMs === undefined ? undefined : formatAway(maxAwayMs),
  };
  const given = Object.entries(config).filter(([, value]) => value !== undefined);
  return {
    type,
    function_id: functionId,
    config: Object.fromEntries(given),
    ...(metadata !== undefined && { metadata }),
  };
}

/** What a trigger of a stream matches. */
function placeConfig(type: "stream" | "stream:write", section: ConfigSection): TriggerConfig {
  const streamName = readName("config.stream_name", section["stream_name"]);
  if (streamName === undefined) {
    const what = type === "stream" ? "listen to" : "guard";
    throw invalidField("config.stream_name", undefined, `the name of the stream to ${what}`);
  }
  if (isPresenceStream(streamName)) {
    throw new FunctionError(
      "trigger_invalid",
      `config.stream_name is ${describeValue(streamName)}, a stream of presence, which fires no triggers; it may be that of another stream.`,
    );
  }
  return {
    streamName,
    groupId: readName("config.group_id", section["group_id"]),
    itemId: readName("config.item_id", section["item_id"]),
  };
}

function retryOf(given: unknown): RetryPolicy | undefined {
  if (given === undefined || given === null) return undefined;
  if (!isRecord(given))
    throw invalidField("config.retry", given, "{max_attempts, initial_backoff_ms}");
  return {
    maxAttempts: readInteger("config.retry.max_attempts", given["max_attempts"], 1, MAX_ATTEMPTS),
    initialBackoffMs: readInteger(
      "config.retry.initial_backoff_ms",
      given["initial_backoff_ms"] ?? DEFAULT_INITIAL_BACKOFF_MS,
      0,
      MAX_INITIAL_BACKOFF_MS,
    ),
  };
}

/** Metadata has the limits of a value. */
function metadataOf(given: unknown): Json | undefined {
  if (given === undefined || given === null) return undefined;
  try {
    return Value.of(given, "metadata").json();
  } catch (error) {
    throw new FunctionError("trigger_invalid", StreamError.from(error).message);
  }
}
