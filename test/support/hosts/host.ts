import type { StreamService, TriggerRequest } from "millrace";

/** What a handler learns besides its payload, wherever it runs. */
export interface HandlerContext {
  readonly metadata: unknown;
  readonly signal: AbortSignal;
}

/** A handler, wherever it runs. */
// oxlint-disable-next-line typescript/no-explicit-any -- what a payload holds is between caller and handler
export type HostHandler = (payload: any, context: HandlerContext) => unknown;

/** What was registered. */
export interface HostRegistration {
  unregister(): Promise<void>;
}

/**
 * Where functions run: in the program of the service, or in a worker behind a door. Tests that are
 * written against this run for every one.
 */
export interface Host {
  readonly name: string;
  readonly can: {
    /** Whether what a handler calls and writes is known to follow from its own call. */
    readonly causes: boolean;
    /** Whether a handler hears that nobody waits for it any more. */
    readonly signals: boolean;
    /** Whether it hears what became of a registration. */
    readonly results: boolean;
  };
  /** Comes to a service. */
  join(target: HostTarget): Promise<HostClient>;
}

/** What hosts come to. */
export interface HostTarget {
  readonly url: string;
  readonly service: StreamService;
}

/** A host that came. Failures of calls and registrations have the `code` and `message` of a FunctionError. */
export interface HostClient {
  registerFunction(id: string, handler: HostHandler): Promise<HostRegistration>;
  registerTrigger(request: TriggerRequest): Promise<HostRegistration>;
  trigger(request: {
    readonly function_id: string;
    readonly payload?: unknown;
    readonly metadata?: unknown;
    readonly timeout_ms?: number;
  }): Promise<unknown>;
  /** Goes away in good order: everything it registered is withdrawn. */
  close(): Promise<void>;
  /** Goes away without a word. */
  vanish(): Promise<void>;
}
