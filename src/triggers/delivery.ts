import { type Call, type FunctionError, FunctionError as Failure } from "../core/function-call.ts";
import type { BoundTrigger } from "../core/trigger.ts";

/** What became of one attempt to call a trigger's function. */
export type Delivery =
  | { readonly kind: "fired" }
  /** The condition said false. */
  | { readonly kind: "skipped" }
  /** @property what Which of the two failed. */
  | {
      readonly kind: "failed";
      readonly what: "condition" | "function";
      readonly error: FunctionError;
    }
  /** Nothing ran, or its provider went away: to be tried again, without counting as an attempt. */
  | { readonly kind: "unserved"; readonly error: FunctionError };

/** One attempt: asks the condition, if there is one, then calls the function. Never rejects. */
export async function deliver(
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
      const answer = await call(config.conditionFunctionId, payload, options);
      if (isFalse(answer)) return { kind: "skipped" };
    }
    what = "function";
    await call(functionId, payload, options);
    return { kind: "fired" };
  } catch (cause) {
    const error = Failure.from(cause);
    return error.isUnserved ? { kind: "unserved", error } : { kind: "failed", what, error };
  }
}

/** Whether a condition holds its call back: only the boolean false does. */
export function isFalse(answer: string | undefined): boolean {
  return answer?.trim() === "false";
}
