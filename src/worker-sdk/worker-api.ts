import type { FunctionError } from "../core/function-call.ts";
import type { Json } from "../core/value.ts";
import type { Handler } from "../functions/handler.ts";
import type { Registration } from "../functions/provider.ts";
import type { StreamAdapter } from "../service/stream-adapter.ts";
import type { CallRequest } from "../service/stream-service.ts";
import type { TriggerRequest } from "../triggers/definition.ts";

/** Options of a worker. Every option has a default. */
export interface WorkerOptions {
  /** A name for operators. Default: host name and process id. */
  readonly workerName?: string | undefined;
  /** One of the service's `api_tokens`. Default none. */
  readonly token?: string | undefined;
  /** Most calls at once. Default: chosen by the service. Limit 1,000. */
  readonly maxConcurrentCalls?: number | undefined;
  /** Default timeout of the worker's own calls, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number | undefined;
  /**
   * Pause before it reconnects, in milliseconds: starts at `initialMs` (default 1,000) and doubles
   * up to `maxMs` (default 30,000).
   */
  readonly reconnect?: { readonly initialMs?: number; readonly maxMs?: number } | undefined;
  /** Called when the state of the connection changes. */
  readonly onState?: ((state: WorkerState, why: unknown) => void) | undefined;
  /**
   * Called when the service, after a reconnect, refuses a registration that it had accepted before.
   */
  readonly onProblem?: ((error: FunctionError) => void) | undefined;
}

/** The state of a worker's connection. `waiting`: for the pause before it reconnects. */
export type WorkerState = "connecting" | "connected" | "waiting" | "closed";

/**
 * A process that provides functions to a service. It connects on its own, reconnects when the
 * connection is lost, and registers its functions and triggers again.
 */
export interface Worker {
  readonly state: WorkerState;
  /**
   * Provides a function. Resolves when the service can call it.
   *
   * @throws FunctionError FORBIDDEN for a reserved id, deserialization_error for an invalid name.
   */
  registerFunction(id: string, handler: Handler): Promise<Registration>;
  /**
   * Registers a trigger, which calls a function. Resolves when it is in force.
   *
   * @throws FunctionError trigger_type_not_found, trigger_invalid
   */
  registerTrigger(request: TriggerRequest): Promise<Registration>;
  /** Serves a stream from an adapter in this process. Resolves when it is in force. */
  createStream(streamName: string, adapter: StreamAdapter): Promise<Registration>;
  /**
   * Calls a function, wherever it is provided, and resolves with its result; undefined when it
   * returned nothing. Without a connection, it waits for one within the timeout.
   *
   * @throws FunctionError
   */
  trigger(request: CallRequest): Promise<Json | undefined>;
  /**
   * Drains and disconnects: accepts no new calls, and completes those under way. Its gates, `stream:join`
   * and `stream:write` triggers, stay; its other triggers end after 30 s. Idempotent.
   */
  shutdown(): Promise<void>;
}
