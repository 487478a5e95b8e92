import type { AuthRequest } from "../core/auth.ts";
import type { Registry } from "../core/coordinator.ts";
import type { Call, FunctionError } from "../core/function-call.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import type { OnRefused } from "./ask-gates.ts";
import { type AuthenticatedCaller, authentication } from "./authentication.ts";
import type { Bindings } from "./bindings.ts";
import { type JoinGates, createJoinGates } from "./join-gates.ts";
import type { ReadAdmissions } from "./read-admissions.ts";
import { type AdmitWrite, createWriteGates } from "./write-gates.ts";

/** Configuration of the gates. */
export interface GateOptions {
  /** Function that identifies callers and may refuse them. Absent: all callers are accepted. */
  readonly authFunction?: string | undefined;
  /**
   * `required`: joins, and reads of users, are refused while no gate is registered. Default
   * `optional`.
   */
  readonly joinGate?: "optional" | "required" | undefined;
  /** `required`: writes of users are refused that no registered gate matches. Default `optional`. */
  readonly writeGate?: "optional" | "required" | undefined;
  /** Timeout of a gate, in milliseconds. Default 5,000. */
  readonly gateTimeoutMs?: number | undefined;
}

/** Dependencies of the gates. */
export interface GateContext extends GateOptions {
  readonly bindings: Bindings;
  readonly registry: Registry;
  readonly reads: ReadAdmissions;
  readonly call: Call;
  /** Unix milliseconds. */
  readonly clock: () => number;
  /** Reports why a gate refused, for the operator: callers do not see it. */
  readonly onRefused: OnRefused;
  /** Reports the outcome of a join listener (`gate: false`). */
  readonly onListenerResult: (trigger: BoundTrigger, error: FunctionError | undefined) => void;
}

/**
 * Decide which callers are accepted, and what they may follow, read and write. A gate that fails
 * refuses (G8): the error is retryable when no gate decided against the request, because a gate has
 * no provider, did not respond in time, or may be unknown at the moment.
 */
export interface Gates extends JoinGates {
  /**
   * Authenticates the caller: once per WebSocket, and per call.
   *
   * @throws StreamError AUTH_REFUSED
   */
  authenticate(request: AuthRequest): Promise<AuthenticatedCaller>;
  /**
   * Authenticates the caller, and reads its rights.
   *
   * @param readAllow Validates the `allow` that `auth_function` returned; not called when there is
   *   none. The message of an error that it throws, without a subject ("its allow[0] is ..."), is
   *   reported to the operator, and the caller is refused.
   * @throws StreamError AUTH_REFUSED
   */
  authenticate<Allow>(
    request: AuthRequest,
    readAllow: (allow: unknown) => Allow,
  ): Promise<AuthenticatedCaller<Allow>>;

  /** Asks the write gates. */
  readonly admitWrite: AdmitWrite;
  /** Forgets which reads the gates have allowed: the next ones are asked about again. */
  forgetReads(): void;
}

const DEFAULT_GATE_TIMEOUT_MS = 5000;

/** Creates the gates. */
export function createGates(options: GateContext): Gates {
  const { authFunction, joinGate, writeGate, reads, clock } = options;
  const context = { ...options, timeoutMs: options.gateTimeoutMs ?? DEFAULT_GATE_TIMEOUT_MS };
  const authenticate = authentication(context, authFunction, clock);
  const unread = (allow: unknown) => allow;
  return {
    authenticate: <Allow>(request: AuthRequest, readAllow?: (allow: unknown) => Allow) =>
      authenticate(request, readAllow ?? (unread as (allow: unknown) => Allow)),
    ...createJoinGates({ ...context, isRequired: joinGate === "required" }),
    admitWrite: createWriteGates({ ...context, isRequired: writeGate === "required" }),
    forgetReads: () => reads.forget(),
  };
}
