import { StreamError } from "./errors.ts";

/** Most bytes of bodies held at a time unless told otherwise: 64 MiB. */
export const DEFAULT_BODY_BYTES_IN_FLIGHT = 64 * 1024 * 1024;

/**
 * Bounds the bytes of bodies that are in memory at a time, over all doors of a server: requests, frames
 * and answers that are still arriving, and what compressed ones come to. It ends when a body is decoded;
 * what is decoded is bounded elsewhere.
 *
 * Whoever holds bytes takes them first, and gives back exactly as many on every way out.
 */
export class BodyBudget {
  readonly maxBytes: number;
  #heldBytes = 0;

  /** @param maxBytes Most bytes held at a time. */
  constructor(maxBytes: number = DEFAULT_BODY_BYTES_IN_FLIGHT) {
    this.maxBytes = maxBytes;
  }

  /** Bytes held now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Takes bytes. @throws StreamError OVERLOADED, and takes nothing, when they are more than is left. */
  take(bytes: number): void {
    if (this.#heldBytes + bytes > this.maxBytes) throw tooManyBodies();
    this.#heldBytes += bytes;
  }

  /** Gives back bytes that were taken. */
  give(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}

function tooManyBodies(): StreamError {
  return new StreamError(
    "OVERLOADED",
    "The service holds as many bytes of requests as it may; the call may be made again in a moment.",
  );
}
