import type { StreamError } from "../core/errors.ts";

/** Why the service closes a socket. Clients may come back at once, or after 4430 when they are ready. */
export const CLOSE = {
  /** The service is shutting down. */
  GOING_AWAY: 1001,
  /** The service cannot serve the socket now, or not a join of a client that joins again only after a close. */
  TRY_AGAIN_LATER: 1013,
  /** Too many malformed frames. */
  MALFORMED: 4400,
  /** No sign of life. */
  NO_PONG: 4408,
  /** Frames or subscriptions too fast, or too many subscriptions. */
  TOO_MUCH: 4429,
  /** The socket took nothing for too long. */
  SLOW_SUBSCRIBER: 4430,
} as const;

/** The code that tells the end of a subscription that the service could not go on with. */
export function closeCodeOf({ reason }: StreamError): number {
  if (reason === "SHUTTING_DOWN") return CLOSE.GOING_AWAY;
  if (reason === "SLOW_SUBSCRIBER") return CLOSE.SLOW_SUBSCRIBER;
  return CLOSE.TRY_AGAIN_LATER;
}
