import { FunctionError } from "../core/function-call.ts";
import { StreamError } from "../core/errors.ts";
import { RESERVED_PREFIX, checkName } from "../core/names.ts";
import { overriddenStream } from "../core/overrides.ts";

/** Names of functions that are reserved for the service. */
const RESERVED = /^(?:engine|millrace)::/;
/** The built-in functions of streams. `stream::set(NAME)` and the like belong to custom streams. */
const BUILT_IN = /^stream::(?:set|get|update|delete|send|list|list_groups|list_all)$/;

/**
 * Checks the id of a function: a name, or that of a custom stream's function, whose stream has a
 * name. @throws FunctionError deserialization_error
 */
export function checkFunctionId(field: string, id: unknown): string {
  try {
    const streamName = typeof id === "string" ? overriddenStream(id) : undefined;
    if (streamName === undefined) return checkName(field, id);
    checkName(`the stream of ${field}`, streamName);
    return id as string;
  } catch (error) {
    throw new FunctionError("deserialization_error", StreamError.from(error).message);
  }
}

/**
 * Checks the id of a function to provide. @throws FunctionError deserialization_error, FORBIDDEN
 */
export function checkProvidable(id: unknown): string {
  const known = checkFunctionId("function id", id);
  if (RESERVED.test(known) || BUILT_IN.test(known)) {
    throw new FunctionError(
      "FORBIDDEN",
      `function id ${known} is reserved; it may be any name that does not begin with engine:: or millrace::, and is no built-in function of streams.`,
    );
  }
  if (overriddenStream(known)?.startsWith(RESERVED_PREFIX) === true) {
    throw new FunctionError(
      "FORBIDDEN",
      `function id ${known} is that of a stream of the service itself, whose name begins with ${RESERVED_PREFIX}; it may be that of any other stream.`,
    );
  }
  return known;
}
