import { StreamError } from "../core/errors.ts";

/** Most bytes of bodies held at a time by default: 64 MiB. */
export const DEFAULT_BODY_BYTES_IN_FLIGHT = 64 * 1024 * 1024;
/** Most bytes of such bodies on one connection. */
export const MAX_UNTRUSTED_CONNECTION_BYTES = 1024 * 1024;

/** Bodies up to this size are small, in bytes. */
const SMALL_BODY_BYTES = 16 * 1024;
/** One part in this many of the budget is reserved for small bodies. */
const SMALL_SHARE = 8;

/** Where the bytes of a body are taken from before they are held, and given back to. */
export type ByteBudget = Pick<BodyBudget, "take" | "give">;

/**
 * Bounds the bytes of bodies that are in memory at a time, over all doors of a server: requests, frames
 * and answers that are still arriving, and what compressed ones come to. It ends when a body is decoded;
 * what is decoded is bounded elsewhere.
 *
 * Whoever holds bytes takes them first, and gives back exactly as many on every way out.
 */
export class BodyBudget {
  readonly maxBytes: number;
  /** Most bytes held at a time when a body that is not small takes more. */
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
   * Takes bytes. Large bodies leave a part of the budget to small ones, so that a crowd of large ones
   * does not keep all other calls out.
   *
   * @param size Bytes that their body has taken then. Default: these alone.
   * @throws StreamError OVERLOADED, and takes nothing, when they are more than is left.
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
    "The service holds as many bytes of requests as it may; the call may be made again in a moment.",
  );
}
