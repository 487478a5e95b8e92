import type { AuthRequest } from "../core/auth.ts";
import type { Registry } from "../core/coordinator.ts";
import { type Call, FunctionError } from "../core/function-call.ts";
import { StreamError } from "../core/errors.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { MAX_NAME_BYTES } from "../core/names.ts";
import type { Bindings } from "./bindings.ts";
import { isFalse } from "./delivery.ts";
import { readGateAnswer } from "./gate-answer.ts";
import { type Joined, joinPayload } from "./payloads.ts";
import { startTimer } from "../timers/timers.ts";

/** How gates are configured. */
export interface GateOptions {
  /** Function that says who a caller is, and may refuse them. Absent: everybody may come. */
  readonly authFunction?: string | undefined;
  /** `required`: joins are refused while no gate is registered. Default `optional`. */
  readonly joinGate?: "optional" | "required" | undefined;
  /** Most time for a gate to answer, in milliseconds. Default 5,000. */
  readonly gateTimeoutMs?: number | undefined;
}

/** What gates work with. */
export interface GateContext extends GateOptions {
  readonly bindings: Bindings;
  readonly registry: Registry;
  readonly call: Call;
  /** Told why a gate refused, for the operator: callers are not told. */
  readonly onRefused: (gate: string, why: string) => void;
  /** An answer to `gate: false`, or that there is none. */
  readonly onTold: (trigger: BoundTrigger, error: FunctionError | undefined) => void;
}

/** Why a gate does not let somebody in. */
interface Refusal {
  /** For the operator's log, without a subject: "it returned false". */
  readonly why: string;
  /**
   * Whether nobody said no: the gate has no provider, did not respond in time, or cannot be known now.
   * The same request may succeed later. A gate that throws has said no.
   */
  readonly isPassing: boolean;
}

/** Who may come, and who may follow what. A gate that fails refuses (G8). */
export interface Gates {
  /**
   * Asks who the caller is: once per WebSocket, and per Subscribe call.
   *
   * @returns the context of the caller, as JSON text; `null` when there is none.
   * @throws StreamError AUTH_REFUSED
   */
  authenticate(request: AuthRequest): Promise<string>;
  /**
   * Asks all join gates, side by side.
   *
   * @returns when those were told who only listen (`gate: false`): they need not be waited for.
   * @throws StreamError JOIN_REFUSED unless every one allows it; retryable when nobody said no.
   */
  admit(joined: Joined): Promise<{ readonly told: Promise<void> }>;
}

const DEFAULT_GATE_TIMEOUT_MS = 5000;
/** Largest context of a caller, in characters of JSON text: it is kept as long as their socket is open. */
const MAX_CONTEXT_CHARS = 64 * 1024;

/** Builds the gates. */
export function createGates(context: GateContext): Gates {
  const { authFunction, joinGate = "optional", bindings, registry, call, onRefused } = context;
  const timeoutMs = context.gateTimeoutMs ?? DEFAULT_GATE_TIMEOUT_MS;

  /** Asks one gate. @returns why it refuses; undefined when it allows. */
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
      if (all.length === 0) return { told: Promise.resolve() };
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
          // One refusal is enough: nobody waits for the others, and what they return is dropped.
          for (const each of asked) each.catch(() => {});
        }
      }
      return { told: tellAll(context, listeners, payload) };
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

/** Tells those who only listen. Their answers are ignored, and nobody waits for them. */
async function tellAll(
  { call, onTold }: GateContext,
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
        onTold(trigger, undefined);
      } catch (error) {
        onTold(trigger, FunctionError.from(error));
      }
    }),
  );
}

/** A caller that `auth_function` let in. */
interface Caller {
  /** JSON text. */
  readonly context: string;
}

/** Reads an answer of `auth_function`. */
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

/** What the failed call of a gate means. */
function refusalOf(error: unknown): Refusal {
  const { code, message, isUnserved } = FunctionError.from(error);
  const why = `${code}: ${message.slice(0, 4 * MAX_NAME_BYTES).replace(/\.$/, "")}`;
  return { why, isPassing: isUnserved || code === "TIMEOUT" };
}
