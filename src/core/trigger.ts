import type { Json } from "./value.ts";

/** The types of triggers. */
export const TRIGGER_TYPES = ["stream", "stream:join", "stream:leave", "stream:write"] as const;

/** A type of TRIGGER_TYPES. */
export type TriggerType = (typeof TRIGGER_TYPES)[number];

/** Definition of a trigger, defaults filled in: equal definitions are the same trigger. */
export interface TriggerDefinition {
  readonly type: TriggerType;
  /** The function that it calls. */
  readonly functionId: string;
  readonly config: TriggerConfig;
  /** Passed to the function beside each payload; undefined: none. */
  readonly metadata: Json | undefined;
  /**
   * Whether its start (see `start`) is being prepared: until every group has an entry in the outbox,
   * its function is not called. Absent: it is not being prepared.
   */
  readonly isStarting?: true | undefined;
  /**
   * The lineages of the outbox when a trigger with `start` was registered (see lineageOf). When they
   * change, history was lost, and the trigger has to start over. Undefined: they are not known.
   */
  readonly lineage?: string | undefined;
}

/** What a trigger matches, and how it calls. A key that does not apply to its type is undefined. */
export interface TriggerConfig {
  /** `stream` and `stream:write` only. */
  readonly streamName?: string | undefined;
  /** `stream` and `stream:write` only. Undefined: any. */
  readonly groupId?: string | undefined;
  /** `stream` and `stream:write` only. Undefined: any, and events without an item. */
  readonly itemId?: string | undefined;
  /** A function that is called first: only its result `false` prevents the call. */
  readonly conditionFunctionId?: string | undefined;
  /** `stream:join` only: whether its function decides who may subscribe. */
  readonly gate?: boolean | undefined;
  /** `stream` only. Undefined: failed calls are not retried. */
  readonly retry?: RetryPolicy | undefined;
  /**
   * `stream` and `stream:leave` only. Name of a durable trigger: its identity. The trigger stays in
   * force until it is withdrawn, and its events wait for a provider. Undefined: it is not durable.
   */
  readonly durable?: string | undefined;
  /** Durable `stream` triggers only: how long an event waits for a provider, in milliseconds. */
  readonly maxAwayMs?: number | undefined;
  /**
   * Durable `stream` triggers only. `state`: its function first receives the state of each group,
   * and then the changes after it; it receives the state of a group again in place of events that
   * were dropped. Undefined: it receives the changes after the registration.
   */
  readonly start?: "state" | undefined;
}

/** How failed calls are retried. */
export interface RetryPolicy {
  /** All attempts, the first one included: at least 1. */
  readonly maxAttempts: number;
  /** Pause before the second attempt, in milliseconds; it doubles with each further one. */
  readonly initialBackoffMs: number;
}

/** A trigger in force. */
export interface BoundTrigger {
  /** Identifies the trigger in outboxes: never reused for another one. */
  readonly id: string;
  readonly definition: TriggerDefinition;
  /**
   * Durable triggers only: since when its function has had no provider, Unix milliseconds; undefined
   * while it has one.
   */
  readonly awaySinceMs?: number | undefined;
}

/** Why a trigger with `start: "state"` receives the state of a group. */
export const START_REASONS = ["registered", "overflow", "max_away", "lost_history"] as const;

/** A reason of START_REASONS. */
export type StartReason = (typeof START_REASONS)[number];

/**
 * Whether it is of a type that may refuse what callers ask for. Such a trigger stays in force until
 * it is withdrawn, whoever disconnects: a gate must not open by itself (G8). Join listeners count
 * too.
 */
export function isGate({ type }: Pick<TriggerDefinition, "type">): boolean {
  return type === "stream:join" || type === "stream:write";
}

/** Whether it stays in force until it is withdrawn: gates and durable triggers do. */
export function isLasting(definition: TriggerDefinition): boolean {
  return isGate(definition) || definition.config.durable !== undefined;
}

/**
 * The same text for definitions of the same trigger: those with the same durable name, and otherwise
 * equal ones, whatever the order of keys in their metadata.
 */
export function triggerIdentity({ type, functionId, config, metadata }: TriggerDefinition): string {
  if (config.durable !== undefined) return canonical(["durable", config.durable]);
  return canonical([type, functionId, config, metadata === undefined ? [] : [metadata]]);
}

/** JSON text with sorted keys, without undefined members. */
export function canonical(json: unknown): string {
  if (typeof json !== "object" || json === null) return JSON.stringify(json) ?? "null";
  if (Array.isArray(json)) return `[${json.map(canonical).join(",")}]`;
  const members = Object.entries(json)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`);
  return `{${members.join(",")}}`;
}
