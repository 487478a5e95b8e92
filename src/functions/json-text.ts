import { FunctionError } from "../core/function-call.ts";

/**
 * The JSON text of a caller's value.
 *
 * @param field Name in messages, for example `payload`.
 * @throws FunctionError deserialization_error when the value is not JSON.
 */
export function jsonText(field: string, json: unknown): string {
  try {
    const text = JSON.stringify(json) as string | undefined;
    if (text !== undefined) return text;
  } catch {
    // Circular, or with a bigint.
  }
  throw new FunctionError(
    "deserialization_error",
    `${field} is not JSON; it may be any JSON value.`,
  );
}
