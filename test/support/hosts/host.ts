import type { StreamService, TriggerRequest } from "millrace";

/** The context of a handler besides its payload, wherever it runs. */
export interface HandlerContext {
  readonly metadata: unknown;
  readonly signal: AbortSignal;
}

/** A handler, wherever it runs. */
// oxlint-disable-next-line typescript/no-explicit-any -- caller and handler agree on the payload
export type HostHandler = (payload: any, context: HandlerContext) => unknown;

/** A registration. */
export interface HostRegistration {
  unregister(): Promise<void>;
}

/**
 * A place where functions run: the process of the service, or a worker behind a door. Tests that
 * use this interface run for every one.
 */
export interface Host {
  readonly name: string;
  readonly can: {
    /** Whether calls and writes of a handler carry the cause of its own call. */
    readonly causes: boolean;
    /** Whether a handler is notified when its caller gives up. */
    readonly signals: boolean;
    /** Whether it receives the outcome of a registration. */
    readonly results: boolean;
  };
  /** Connects to a service. */
  join(target: HostTarget): Promise<HostClient>;
}

/** The service that hosts connect to. */
export interface HostTarget {
  readonly url: string;
  readonly service: StreamService;
}

/** A connected host. Failures have the `code` and `message` of a FunctionError. */
export interface HostClient {
  registerFunction(id: string, handler: HostHandler): Promise<HostRegistration>;
  registerTrigger(request: TriggerRequest): Promise<HostRegistration>;
  trigger(request: {
    readonly function_id: string;
    readonly payload?: unknown;
    readonly metadata?: unknown;
    readonly timeout_ms?: number;
  }): Promise<unknown>;
  /** Shuts down gracefully: everything it registered is withdrawn. */
  close(): Promise<void>;
  /** Disconnects without notice. */
  vanish(): Promise<void>;
}
