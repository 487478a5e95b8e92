import { type Call, type FunctionError, FunctionError as Failure } from "../core/function-call.ts";
import { StreamError } from "../core/errors.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import type { Job } from "./job.ts";

/** Outcome of one attempt to call a trigger's function. */
export type Delivery =
  | { readonly kind: "fired" }
  /** The condition returned false. */
  | { readonly kind: "skipped" }
  /** @property what The function that failed. */
  | {
      readonly kind: "failed";
      readonly what: "condition" | "function";
      readonly error: FunctionError;
    }
  /** Nothing ran, or the provider disconnected: retried, without counting as an attempt. */
  | { readonly kind: "unserved"; readonly error: FunctionError };

/** One attempt: calls the condition, if there is one, then the function. Never rejects. */
async function deliver(
  call: Call,
  { definition }: BoundTrigger,
  payload: string,
  depth: number,
): Promise<Delivery> {
  const { functionId, config, metadata } = definition;
  const options = {
    depth,
    metadata: metadata === undefined ? undefined : JSON.stringify(metadata),
  };
  let what: "condition" | "function" = "condition";
  try {
    if (config.conditionFunctionId !== undefined) {
      const result = await call(config.conditionFunctionId, payload, options);
      if (isFalse(result)) return { kind: "skipped" };
    }
    what = "function";
    await call(functionId, payload, options);
    return { kind: "fired" };
  } catch (cause) {
    const error = Failure.from(cause);
    return error.isUnserved ? { kind: "unserved", error } : { kind: "failed", what, error };
  }
}

/**
 * One attempt of a job: one call, or one for each of its parts until one fails. Never rejects.
 */
export async function deliverJob(
  call: Call,
  trigger: BoundTrigger,
  { payload, depth, parts }: Job,
): Promise<Delivery> {
  if (parts === undefined) return deliver(call, trigger, payload, depth);
  let last: Delivery = { kind: "skipped" };
  try {
    for await (const part of parts()) {
      const delivery = await deliver(call, trigger, part, depth);
      if (delivery.kind === "failed" || delivery.kind === "unserved") return delivery;
      last = delivery;
    }
  } catch (cause) {
    // The parts could not be read: nothing is wrong with the function.
    const { message } = StreamError.from(cause);
    return { kind: "unserved", error: new Failure("invocation_failed", message, { cause }) };
  }
  return last;
}

/** Whether a condition prevents the call: only the boolean false does. */
export function isFalse(result: string | undefined): boolean {
  return result?.trim() === "false";
}
