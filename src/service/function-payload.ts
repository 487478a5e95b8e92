import { FunctionError } from "../core/function-call.ts";

/** The payload of a built-in function: an object, not yet validated. */
export type Payload = Readonly<Record<string, unknown>>;

/** Reads a payload. @throws FunctionError deserialization_error when it is not an object. */
export function payloadOf(json: string): Payload {
  const payload: unknown = JSON.parse(json);
  if (typeof payload === "object" && payload !== null && !Array.isArray(payload))
    return payload as Payload;
  throw malformedPayload(
    "The payload is not an object; it may be an object with the fields of the call.",
  );
}

/**
 * A field that is text; undefined when it is absent or null. @throws FunctionError
 * deserialization_error
 */
export function textField(payload: Payload, field: string): string | undefined {
  const value = payload[field] ?? undefined;
  if (value === undefined || typeof value === "string") return value;
  throw malformedPayload(`${field} is not a string; it may be a string.`);
}

/** A payload of the wrong shape. @param sentence Names the field and what it may be. */
export function malformedPayload(sentence: string): FunctionError {
  return new FunctionError("deserialization_error", sentence);
}

/**
 * A flag; false when it is absent or null. @throws FunctionError deserialization_error
 */
export function flagField(payload: Payload, field: string): boolean {
  const value = payload[field] ?? false;
  if (typeof value === "boolean") return value;
  throw malformedPayload(`${field} is not a boolean; it may be true or false.`);
}
