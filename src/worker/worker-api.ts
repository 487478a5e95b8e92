import type { FunctionError } from "../core/function-call.ts";
import type { Json } from "../core/value.ts";
import type { Handler } from "../functions/handler.ts";
import type { Registration } from "../functions/provider.ts";
import type { StreamAdapter } from "../service/stream-adapter.ts";
import type { CallRequest } from "../service/stream-service.ts";
import type { TriggerRequest } from "../triggers/definition.ts";

/** How a worker connects. Every option has a default. */
export interface WorkerOptions {
  /** What it calls itself, for people. Default: host name and process id. */
  readonly workerName?: string | undefined;
  /** One of the service's `api_tokens`. Default none. */
  readonly token?: string | undefined;
  /** How many calls it takes at once. Default: as many as the service likes, at most 1,000. */
  readonly maxConcurrentCalls?: number | undefined;
  /** How long its own calls may take unless they say otherwise, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number | undefined;
  /** Pause before it connects again, in milliseconds; it doubles up to the longest. Default 1,000 and 30,000. */
  readonly reconnect?: { readonly initialMs?: number; readonly maxMs?: number } | undefined;
  /** Told when the connection comes and goes. */
  readonly onState?: ((state: WorkerState, why: unknown) => void) | undefined;
  /** Told when the service refuses, on a later connection, what it had taken before. */
  readonly onProblem?: ((error: FunctionError) => void) | undefined;
}

/** Where a worker stands. */
export type WorkerState = "connecting" | "connected" | "waiting" | "closed";

/**
 * A program that provides functions to a service. It connects by itself, comes back by itself when the
 * connection is lost, and brings its functions and triggers with it.
 */
export interface Worker {
  readonly state: WorkerState;
  /**
   * Provides a function. Resolves when the service can call it.
   *
   * @throws FunctionError FORBIDDEN for a reserved id, deserialization_error for what is no name.
   */
  registerFunction(id: string, handler: Handler): Promise<Registration>;
  /**
   * Has a function called when something happens. Resolves when it holds.
   *
   * @throws FunctionError trigger_type_not_found, trigger_invalid
   */
  registerTrigger(request: TriggerRequest): Promise<Registration>;
  /** Has an adapter of this program read and write the values of a stream. Resolves when it holds. */
  createStream(streamName: string, adapter: StreamAdapter): Promise<Registration>;
  /**
   * Calls a function, wherever it is, and waits for its result; undefined when it returned nothing.
   * Without a connection it waits for one, within its time.
   *
   * @throws FunctionError
   */
  trigger(request: CallRequest): Promise<Json | undefined>;
  /**
   * Leaves in good order: takes no more calls, answers those under way, and disconnects. Its `stream:join`
   * triggers stay; its others for 30 s. Idempotent.
   */
  shutdown(): Promise<void>;
}
