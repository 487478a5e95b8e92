import type { AuthRequest } from "../core/auth.ts";
import type { Registry } from "../core/coordinator.ts";
import { type Call, FunctionError } from "../core/function-call.ts";
import { StreamError } from "../core/errors.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { MAX_NAME_BYTES } from "../core/names.ts";
import type { Bindings } from "./bindings.ts";
import { isFalse } from "./delivery.ts";
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

/** Who may come, and who may follow what. Whatever goes wrong with the answer, the answer is no (G8). */
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
   * @throws StreamError JOIN_REFUSED unless every one allows it.
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

  /** What keeps a gate from letting somebody in; undefined: nothing does. */
  const ask = async (trigger: BoundTrigger, payload: string, signal: AbortSignal) => {
    const { functionId, config, metadata } = trigger.definition;
    const options = { timeoutMs, signal };
    const condition = config.conditionFunctionId;
    if (condition !== undefined && isFalse(await call(condition, payload, options))) return;
    const answer = await call(functionId, payload, {
      ...options,
      metadata: metadata === undefined ? undefined : JSON.stringify(metadata),
    });
    return verdictOf(answer);
  };

  return {
    async authenticate(request) {
      if (authFunction === undefined) return "null";
      const refuse = (why: string): never => {
        onRefused(authFunction, why);
        throw new StreamError(
          "AUTH_REFUSED",
          "The caller was refused by the service's auth_function; it may come with credentials that it accepts.",
        );
      };
      if (!registry.isCurrent()) return refuse("the registry of functions cannot be reached");
      let known: { readonly why: string } | { readonly context: string };
      try {
        known = callerOf(await call(authFunction, JSON.stringify(request), { timeoutMs }));
      } catch (error) {
        return refuse(textOf(error));
      }
      return "why" in known ? refuse(known.why) : known.context;
    },

    async admit(joined) {
      const all = bindings.ofType("stream:join");
      const gates = all.filter(({ definition }) => definition.config.gate !== false);
      const listeners = all.filter(({ definition }) => definition.config.gate === false);
      const refuse = (gate: string, why: string): never => {
        onRefused(gate, why);
        throw new StreamError(
          "JOIN_REFUSED",
          "The subscription was refused by a join gate; it may be one that the caller is allowed to make.",
        );
      };
      if (!registry.isCurrent())
        return refuse("join gates", "the registry of functions cannot be reached");
      if (gates.length === 0 && joinGate === "required")
        return refuse("join_gate", "it is required, and no gate is registered");
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
          const verdict = await ask(trigger, payload, controller.signal).catch((error: unknown) => {
            if (isLate) return `it took more than ${timeoutMs} ms`;
            // Another one has refused: this one need not answer any more.
            if (controller.signal.aborted) throw error;
            return textOf(error);
          });
          if (verdict !== undefined) refuse(trigger.definition.functionId, verdict);
        });
        try {
          await Promise.all(asked);
        } finally {
          timer.cancel();
          controller.abort();
          // One no is enough: nobody waits for the others. What they say is not heard any more.
          for (const each of asked) each.catch(() => {});
        }
      }
      return { told: tellAll(context, listeners, payload) };
    },
  };
}

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

/** What an answer of `auth_function` says of a caller: their context, or why they may not come. */
function callerOf(
  answer: string | undefined,
): { readonly why: string } | { readonly context: string } {
  const object = objectOf(answer);
  if (object === undefined) return { why: "it returned no object" };
  const why = verdictOf(answer);
  if (why !== undefined) return { why };
  const context = JSON.stringify(object["context"] ?? null);
  return context.length > MAX_CONTEXT_CHARS
    ? { why: `its context has more than ${MAX_CONTEXT_CHARS} characters` }
    : { context };
}

/** What an answer has against somebody; undefined: nothing. Only `unauthorized` counts, and only false, null or nothing allow. */
function verdictOf(answer: string | undefined): string | undefined {
  const unauthorized = objectOf(answer)?.["unauthorized"];
  if (unauthorized === undefined || unauthorized === null || unauthorized === false)
    return undefined;
  return unauthorized === true ? "it said so" : "its unauthorized is neither true nor false";
}

function objectOf(answer: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (answer === undefined) return undefined;
  const json: unknown = JSON.parse(answer);
  return typeof json === "object" && json !== null && !Array.isArray(json)
    ? (json as Readonly<Record<string, unknown>>)
    : undefined;
}

function textOf(error: unknown): string {
  const { code, message } = FunctionError.from(error);
  return `${code}: ${message.slice(0, 4 * MAX_NAME_BYTES).replace(/\.$/, "")}`;
}
