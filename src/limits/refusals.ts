import { StreamError } from "../core/errors.ts";

/** Name of the metadata that says when trying again makes sense, in milliseconds. */
export const RETRY_AFTER_MS = "retry_after_ms";
/** When a client that has too many connections may try again, in milliseconds. */
const CONNECTIONS_RETRY_MS = 5000;

/** The refusal of a caller who is too fast. @param waitMs Time until it may go on, in milliseconds. */
export function rateLimited(what: string, waitMs: number): StreamError {
  const ms = Math.max(1, Math.ceil(waitMs));
  return new StreamError("RATE_LIMITED", `${what} come too fast; try again in ${ms} ms.`, {
    metadata: { [RETRY_AFTER_MS]: String(ms) },
  });
}

/** The refusal of a connection beyond the limit of its address. */
export function tooManyConnections(max: number): StreamError {
  return new StreamError(
    "TOO_MANY_CONNECTIONS",
    `The address has ${max} connections, which is the most that it may have; close some, or try again later.`,
    { metadata: { [RETRY_AFTER_MS]: String(CONNECTIONS_RETRY_MS) } },
  );
}

/** Seconds for a `Retry-After` header; undefined when the error names no time. */
export function retryAfterSeconds({ metadata }: StreamError): number | undefined {
  const ms = metadata[RETRY_AFTER_MS];
  return ms === undefined ? undefined : Math.ceil(Number(ms) / 1000);
}
