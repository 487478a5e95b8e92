import type { Registry } from "../core/coordinator.ts";
import { type Reason, StreamError } from "../core/errors.ts";
import { type Call, FunctionError } from "../core/function-call.ts";
import { MAX_NAME_BYTES } from "../core/names.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { startTimer } from "../timers/timers.ts";
import { isFalse } from "./delivery.ts";
import { type Fields, readGateAnswer } from "./gate-answer.ts";

/** Dependencies of every question to gates. */
export interface AskContext {
  readonly call: Call;
  readonly registry: Pick<Registry, "isCurrent">;
  /** Timeout of a question, in milliseconds. */
  readonly timeoutMs: number;
  readonly onRefused: OnRefused;
}

/** What a gate refused, as the operator's log names it. */
export type RefusalKind = "auth_refused" | "join_refused" | "write_refused";

/** Reports why a gate refused, for the operator: callers do not see it. */
export type OnRefused = (kind: RefusalKind, gate: string, why: string) => void;

/** Why a gate refuses. Thrown by whatever reads its result. */
export class GateRefusal extends Error {
  /** For the operator's log, without a subject: "it returned false". */
  readonly why: string;
  /**
   * Whether no gate decided against the request: the gate has no provider, did not respond in time,
   * or is unknown at the moment. The same request may succeed later. A gate that throws has
   * refused.
   */
  readonly isPassing: boolean;

  constructor(why: string, { isPassing = false } = {}) {
    super(why);
    this.why = why;
    this.isPassing = isPassing;
  }

  /** The refusal that a failed call of a gate means. */
  static from(error: unknown): GateRefusal {
    if (error instanceof GateRefusal) return error;
    const { code, message, isUnserved } = FunctionError.from(error);
    const why = `${code}: ${message.slice(0, 4 * MAX_NAME_BYTES).replace(/\.$/, "")}`;
    return new GateRefusal(why, { isPassing: isUnserved || code === "TIMEOUT" });
  }
}

/** The refusal while this process may not know all gates. */
export function unreachable(): GateRefusal {
  return new GateRefusal("the registry of functions cannot be reached", { isPassing: true });
}

/** The refusal while a gate is required and none is registered. */
export function unregistered(): GateRefusal {
  return new GateRefusal("it is required, and no gate is registered", { isPassing: true });
}

/** Reports a refusal to the operator, and throws the error that the caller receives. */
export type Refuse = (gate: string, refusal: GateRefusal) => never;

/** @param sentence The caller sees it: it names neither the gate nor its reasons. */
export function refusing(
  onRefused: OnRefused,
  kind: RefusalKind,
  reason: Reason,
  sentence: string,
): Refuse {
  return (gate, { why, isPassing }) => {
    onRefused(kind, gate, why);
    throw new StreamError(reason, sentence, { retryable: isPassing });
  };
}

/** One question to several gates. */
export interface Question<T> {
  /** All of them must allow. */
  readonly gates: readonly BoundTrigger[];
  /** JSON text. */
  readonly payload: string;
  /**
   * Reads the object of a gate that allowed; undefined when it returned nothing or null.
   *
   * @throws GateRefusal
   */
  readonly read: (fields: Fields | undefined) => T;
  readonly refuse: Refuse;
}

/**
 * Asks all gates concurrently, within one timeout.
 *
 * @returns One result per gate, in order; undefined for a gate that its condition skipped.
 * @throws StreamError of the first refusal. The calls of the other gates are then abandoned.
 */
export async function askGates<T>(
  { call, timeoutMs }: AskContext,
  { gates, payload, read, refuse }: Question<T>,
): Promise<(T | undefined)[]> {
  const controller = new AbortController();
  let isLate = false;
  const timer = startTimer(timeoutMs, () => {
    isLate = true;
    controller.abort();
  });
  const options = { timeoutMs, signal: controller.signal };
  const ask = async ({ definition }: BoundTrigger): Promise<T | undefined> => {
    const { functionId, config, metadata } = definition;
    const condition = config.conditionFunctionId;
    if (condition !== undefined && isFalse(await call(condition, payload, options))) return;
    const result = await call(functionId, payload, {
      ...options,
      metadata: metadata === undefined ? undefined : JSON.stringify(metadata),
    });
    return read(fieldsOf(result));
  };
  const asked = gates.map(async (trigger) => {
    try {
      return await ask(trigger);
    } catch (error) {
      if (isLate) {
        const late = new GateRefusal(`it took more than ${timeoutMs} ms`, { isPassing: true });
        return refuse(trigger.definition.functionId, late);
      }
      // Another gate has refused, so the response of this one no longer matters.
      if (controller.signal.aborted) throw error;
      return refuse(trigger.definition.functionId, GateRefusal.from(error));
    }
  });
  try {
    return await Promise.all(asked);
  } finally {
    timer.cancel();
    controller.abort();
    // One refusal is enough: the results of the other gates are ignored.
    for (const each of asked) each.catch(() => {});
  }
}

/** The object that an allowing gate returned. @throws GateRefusal when it refuses. */
export function fieldsOf(result: string | undefined): Fields | undefined {
  const answer = readGateAnswer(result);
  if (!answer.allows) throw new GateRefusal(answer.why);
  return answer.fields;
}
