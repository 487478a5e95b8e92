import type { AuthRequest } from "../core/auth.ts";
import type { Registry } from "../core/coordinator.ts";
import { type Call, FunctionError } from "../core/function-call.ts";
import { StreamError } from "../core/errors.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { MAX_NAME_BYTES } from "../core/names.ts";
import type { Bindings } from "./bindings.ts";
import { isFalse } from "./delivery.ts";
import { readGateAnswer } from "./gate-answer.ts";
import { type JoinedSubscription, joinPayload } from "./payloads.ts";
import { startTimer } from "../timers/timers.ts";

/** Configuration of the gates. */
export interface GateOptions {
  /** Function that identifies callers and may refuse them. Absent: all callers are accepted. */
  readonly authFunction?: string | undefined;
  /** `required`: joins are refused while no gate is registered. Default `optional`. */
  readonly joinGate?: "optional" | "required" | undefined;
  /** Timeout of a gate, in milliseconds. Default 5,000. */
  readonly gateTimeoutMs?: number | undefined;
}

/** Dependencies of the gates. */
export interface GateContext extends GateOptions {
  readonly bindings: Bindings;
  readonly registry: Registry;
  readonly call: Call;
  /** Reports why a gate refused, for the operator: callers do not see it. */
  readonly onRefused: (gate: string, why: string) => void;
  /** Reports the outcome of a join listener (`gate: false`). */
  readonly onListenerResult: (trigger: BoundTrigger, error: FunctionError | undefined) => void;
}

/** Why a gate refuses. */
interface Refusal {
  /** For the operator's log, without a subject: "it returned false". */
  readonly why: string;
  /**
   * Whether no gate decided against the request: the gate has no provider, did not respond in time,
   * or is unknown at the moment. The same request may succeed later. A gate that throws has
   * refused.
   */
  readonly isPassing: boolean;
}

/** Decide which callers are accepted, and what they may follow. A gate that fails refuses (G8). */
export interface Gates {
  /**
   * Authenticates the caller: once per WebSocket, and per Subscribe call.
   *
   * @returns The context of the caller, as JSON text; `null` when there is none.
   * @throws StreamError AUTH_REFUSED
   */
  authenticate(request: AuthRequest): Promise<string>;
  /**
   * Asks all join gates concurrently.
   *
   * @returns `joinDelivered`, which resolves when the join listeners (`gate: false`) have run. The
   *   subscription need not wait for it.
   * @throws StreamError JOIN_REFUSED unless every gate allows it; retryable when no gate decided
   *   against it.
   */
  admit(joined: JoinedSubscription): Promise<{ readonly joinDelivered: Promise<void> }>;
}

const DEFAULT_GATE_TIMEOUT_MS = 5000;
/** Largest context of a caller, in characters of JSON text: it is kept while the socket is open. */
const MAX_CONTEXT_CHARS = 64 * 1024;

/** Creates the gates. */
export function createGates(context: GateContext): Gates {
  const { authFunction, joinGate = "optional", bindings, registry, call, onRefused } = context;
  const timeoutMs = context.gateTimeoutMs ?? DEFAULT_GATE_TIMEOUT_MS;

  /** Asks one gate. @returns Why it refuses; undefined when it allows. */
  const ask = async (
    trigger: BoundTrigger,
    payload: string,
    signal: AbortSignal,
  ): Promise<Refusal | undefined> => {
    const { functionId, config, metadata } = trigger.definition;
    const options = { timeoutMs, signal };
    const condition = config.conditionFunctionId;
    if (condition !== undefined && isFalse(await call(condition, payload, options))) return;
    const answer = readGateAnswer(
      await call(functionId, payload, {
        ...options,
        metadata: metadata === undefined ? undefined : JSON.stringify(metadata),
      }),
    );
    return answer.allows ? undefined : { why: answer.why, isPassing: false };
  };

  return {
    async authenticate(request) {
      if (authFunction === undefined) return "null";
      const refuse = ({ why, isPassing }: Refusal): never => {
        onRefused(authFunction, why);
        throw new StreamError(
          "AUTH_REFUSED",
          "The caller was refused by the service's auth_function; it may come with credentials that it accepts.",
          { retryable: isPassing },
        );
      };
      if (!registry.isCurrent()) return refuse(UNREACHABLE);
      let caller: Caller | Refusal;
      try {
        caller = callerOf(await call(authFunction, JSON.stringify(request), { timeoutMs }));
      } catch (error) {
        return refuse(refusalOf(error));
      }
      return "why" in caller ? refuse(caller) : caller.context;
    },

    async admit(joined) {
      const all = bindings.ofType("stream:join");
      const gates = all.filter(({ definition }) => definition.config.gate !== false);
      const listeners = all.filter(({ definition }) => definition.config.gate === false);
      const refuse = (gate: string, { why, isPassing }: Refusal): never => {
        onRefused(gate, why);
        throw new StreamError(
          "JOIN_REFUSED",
          "The subscription was refused by a join gate; it may be one that the caller is allowed to make.",
          { retryable: isPassing },
        );
      };
      if (!registry.isCurrent()) return refuse("join gates", UNREACHABLE);
      if (gates.length === 0 && joinGate === "required") return refuse("join_gate", UNREGISTERED);
      if (all.length === 0) return { joinDelivered: Promise.resolve() };
      const payload = joinPayload(joined);
      if (gates.length > 0) {
        const controller = new AbortController();
        let isLate = false;
        const timer = startTimer(timeoutMs, () => {
          isLate = true;
          controller.abort();
        });
        const asked = gates.map(async (trigger) => {
          const refusal = await ask(trigger, payload, controller.signal).catch((error: unknown) => {
            if (isLate) return { why: `it took more than ${timeoutMs} ms`, isPassing: true };
            // Another gate has refused, so the response of this one no longer matters.
            if (controller.signal.aborted) throw error;
            return refusalOf(error);
          });
          if (refusal !== undefined) refuse(trigger.definition.functionId, refusal);
        });
        try {
          await Promise.all(asked);
        } finally {
          timer.cancel();
          controller.abort();
          // One refusal is enough: the results of the other gates are ignored.
          for (const each of asked) each.catch(() => {});
        }
      }
      return { joinDelivered: notifyListeners(context, listeners, payload) };
    },
  };
}

const UNREACHABLE: Refusal = {
  why: "the registry of functions cannot be reached",
  isPassing: true,
};
const UNREGISTERED: Refusal = {
  why: "it is required, and no gate is registered",
  isPassing: true,
};

/** Calls the join listeners. Their results are ignored, and no subscription waits for them. */
async function notifyListeners(
  { call, onListenerResult }: GateContext,
  listeners: readonly BoundTrigger[],
  payload: string,
): Promise<void> {
  await Promise.all(
    listeners.map(async (trigger) => {
      const { functionId, config, metadata } = trigger.definition;
      const options = { metadata: metadata === undefined ? undefined : JSON.stringify(metadata) };
      try {
        const condition = config.conditionFunctionId;
        if (condition !== undefined && isFalse(await call(condition, payload))) return;
        await call(functionId, payload, options);
        onListenerResult(trigger, undefined);
      } catch (error) {
        onListenerResult(trigger, FunctionError.from(error));
      }
    }),
  );
}

/** A caller that `auth_function` accepted. */
interface Caller {
  /** JSON text. */
  readonly context: string;
}

/** Reads the result of `auth_function`. */
function callerOf(answer: string | undefined): Caller | Refusal {
  const read = readGateAnswer(answer);
  if (!read.allows) return { why: read.why, isPassing: false };
  if (read.fields === undefined)
    return { why: "it returned nothing; it may return an object", isPassing: false };
  const context = JSON.stringify(read.fields["context"] ?? null);
  return context.length > MAX_CONTEXT_CHARS
    ? { why: `its context has more than ${MAX_CONTEXT_CHARS} characters`, isPassing: false }
    : { context };
}

/** The refusal that a failed call of a gate means. */
function refusalOf(error: unknown): Refusal {
  const { code, message, isUnserved } = FunctionError.from(error);
  const why = `${code}: ${message.slice(0, 4 * MAX_NAME_BYTES).replace(/\.$/, "")}`;
  return { why, isPassing: isUnserved || code === "TIMEOUT" };
}
