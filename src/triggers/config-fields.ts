import { StreamError } from "../core/errors.ts";
import { FunctionError } from "../core/function-call.ts";
import { checkName } from "../core/names.ts";

/* Reads the fields of a trigger's config, in which null and "" count as absent. */

/** An object with fields that are not yet checked. */
export type ConfigSection = Readonly<Record<string, unknown>>;

/** A name; undefined when it is absent, null or empty. @throws FunctionError trigger_invalid */
export function readName(field: string, given: unknown): string | undefined {
  return given === undefined || given === null || given === ""
    ? undefined
    : readRequiredName(field, given);
}

/** A name, which must not be empty. @throws FunctionError trigger_invalid */
export function readRequiredName(field: string, given: unknown): string {
  try {
    return checkName(field, given);
  } catch (error) {
    throw new FunctionError("trigger_invalid", StreamError.from(error).message);
  }
}

/** True or false, with a default. @throws FunctionError trigger_invalid */
export function readToggle(field: string, given: unknown, fallback: boolean): boolean {
  if (given === undefined || given === null) return fallback;
  if (typeof given === "boolean") return given;
  throw invalidField(field, given, "true or false");
}

/** An integer within limits, which may be text. @throws FunctionError trigger_invalid */
export function readInteger(field: string, given: unknown, min: number, max: number): number {
  const number = typeof given === "string" ? Number(given) : given;
  if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max)
    return number;
  throw invalidField(field, given, `an integer from ${min} to ${max}`);
}

/** The refusal of a field, with the values that it may have. */
export function invalidField(field: string, given: unknown, may: string): FunctionError {
  const problem = given === undefined ? "is missing" : `is ${describeValue(given)}`;
  return new FunctionError("trigger_invalid", `${field} ${problem}; it may be ${may}.`);
}

/** Describes a value in a sentence. */
export function describeValue(given: unknown): string {
  if (given === undefined) return "missing";
  if (Array.isArray(given)) return "a list";
  if (typeof given === "object" && given !== null) return "an object";
  const text = typeof given === "bigint" ? `${given}n` : (JSON.stringify(given) ?? typeof given);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
