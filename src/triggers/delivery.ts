import { type Call, type FunctionError, FunctionError as Failure } from "../core/function-call.ts";
import type { BoundTrigger } from "../core/trigger.ts";

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

/** Whether a condition prevents the call: only the boolean false does. */
export function isFalse(result: string | undefined): boolean {
  return result?.trim() === "false";
}
