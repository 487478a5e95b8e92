import { StreamError } from "../core/errors.ts";

/** The error for a frame that is malformed, or came at the wrong time. */
export function invalid(field: string, problem: string, may: string): StreamError {
  return new StreamError("REQUEST_INVALID", `${field} ${problem}; it may be ${may}.`, {
    metadata: { field },
  });
}
