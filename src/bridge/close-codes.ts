import type { StreamError } from "../core/errors.ts";

/**
 * Codes with which the service closes a socket. Clients may reconnect at once; after 4401, with
 * new credentials, and after 4430, when they can read.
 */
export const CLOSE = {
  /** The service is shutting down. */
  GOING_AWAY: 1001,
  /**
   * The service cannot serve the socket now, or cannot serve a join of a client that rejoins only
   * after a close.
   */
  TRY_AGAIN_LATER: 1013,
  /** Too many malformed frames. */
  MALFORMED: 4400,
  /** The credentials of the caller have expired, and were not renewed. */
  EXPIRED: 4401,
  /** No frame, not even a pong, after two pings. */
  NO_PONG: 4408,
  /** Another socket has taken up its session. */
  TAKEN_OVER: 4409,
  /** Too many frames or joins per second, or too many subscriptions. */
  TOO_MUCH: 4429,
  /** The client read nothing for too long. */
  SLOW_SUBSCRIBER: 4430,
} as const;

/** The close code for an error that ended a subscription. */
export function closeCodeOf({ reason }: StreamError): number {
  if (reason === "SHUTTING_DOWN") return CLOSE.GOING_AWAY;
  if (reason === "SLOW_SUBSCRIBER") return CLOSE.SLOW_SUBSCRIBER;
  return CLOSE.TRY_AGAIN_LATER;
}
