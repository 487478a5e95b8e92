import { StreamError } from "../core/errors.ts";

/** Most bytes of bodies held at a time by default: 64 MiB. */
export const DEFAULT_BODY_BYTES_IN_FLIGHT = 64 * 1024 * 1024;
/** Most bytes of bodies of untrusted callers on one connection. */
export const MAX_UNTRUSTED_CONNECTION_BYTES = 1024 * 1024;

/** Bodies up to this size are small, in bytes. */
const SMALL_BODY_BYTES = 16 * 1024;
/** One part in this many of the budget is reserved for small bodies: an eighth. */
const SMALL_SHARE = 8;

/** A budget of bytes: a body takes bytes before it holds them, and gives them back. */
export type ByteBudget = Pick<BodyBudget, "take" | "give">;

/**
 * Limits the bytes of bodies in memory, over all ports of a server: requests, frames and webhook
 * responses that are still arriving, and the inflated bytes of compressed ones. A body counts until
 * it is decoded; decoded messages are limited elsewhere.
 *
 * A holder takes bytes before it holds them, and gives back exactly as many on every exit path.
 */
export class BodyBudget {
  readonly maxBytes: number;
  /** Most bytes held at a time when a large body takes more. */
  readonly #maxBytesOfLarge: number;
  #heldBytes = 0;

  /** @param maxBytes Most bytes held at a time. */
  constructor(maxBytes: number = DEFAULT_BODY_BYTES_IN_FLIGHT) {
    this.maxBytes = maxBytes;
    this.#maxBytesOfLarge = maxBytes - maxBytes / SMALL_SHARE;
  }

  /** Bytes held now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Takes bytes. Large bodies cannot take the share of small ones, so that many large ones do not
   * block all other calls.
   *
   * @param size Bytes that the whole body holds, these included. Default: these alone.
   * @throws StreamError OVERLOADED when fewer are left; takes nothing then.
   */
  take(bytes: number, size: number = bytes): void {
    if (!this.hasRoom(bytes, size)) throw tooManyBodies();
    this.#heldBytes += bytes;
  }

  /** Whether `take` of the same would succeed now. */
  hasRoom(bytes: number, size: number = bytes): boolean {
    const most = size > SMALL_BODY_BYTES ? this.#maxBytesOfLarge : this.maxBytes;
    return this.#heldBytes + bytes <= most;
  }

  /** Gives back bytes that were taken. */
  give(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}

function tooManyBodies(): StreamError {
  return new StreamError(
    "OVERLOADED",
    "The service is at its limit of request bytes in memory; the call may be made again in a moment.",
  );
}
