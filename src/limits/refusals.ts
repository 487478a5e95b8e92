import { StreamError } from "../core/errors.ts";

/** Name of the metadata with the time after which a retry makes sense, in milliseconds. */
export const RETRY_AFTER_MS = "retry_after_ms";
/** Time after which a client with too many connections may retry, in milliseconds. */
const CONNECTIONS_RETRY_MS = 5000;

/**
 * The refusal of a caller that exceeds a rate.
 *
 * @param waitMs Time until the next call, in milliseconds.
 */
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

/** Seconds for a `Retry-After` header; undefined when the error has no such time. */
export function retryAfterSeconds({ metadata }: StreamError): number | undefined {
  const ms = metadata[RETRY_AFTER_MS];
  return ms === undefined ? undefined : Math.ceil(Number(ms) / 1000);
}
