import { StreamError } from "../core/errors.ts";
import { RETRY_AFTER_MS } from "./refusals.ts";

/** When a subscription that found no memory for its snapshot may try again, in milliseconds. */
const RETRY_MS = 1000;

/** Memory of unread snapshots unless told otherwise, in bytes. */
export const DEFAULT_MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;

/**
 * Counts what snapshots hold in memory for subscribers that have not read them yet, over all
 * subscriptions. A piece that many hold, such as a part of a snapshot that they share, counts once.
 *
 * Holding never fails, because a subscription that has begun is not ended for lack of memory. New ones
 * are refused while the limit is exceeded.
 */
export class SnapshotMemory {
  readonly #maxBytes: number;
  readonly #held = new Map<object, { readonly bytes: number; holders: number }>();
  #bytes = 0;

  constructor(maxBytes = DEFAULT_MAX_SNAPSHOT_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** How much is held, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether new subscriptions are refused. */
  get isFull(): boolean {
    return this.#bytes > this.#maxBytes;
  }

  /** To be called before a new subscription reads its snapshot, and before the first part is delivered. @throws StreamError OVERLOADED */
  check(): void {
    if (this.isFull) throw this.refusal();
  }

  /** The refusal of a subscription for whose snapshot there is no memory. */
  refusal(): StreamError {
    return new StreamError(
      "OVERLOADED",
      "Too many snapshots wait for subscribers that have not read them; try again later.",
      { metadata: { [RETRY_AFTER_MS]: String(RETRY_MS) } },
    );
  }

  /** Counts a piece until it is released as often as it was held. @param bytesOf Its size; asked for only once. */
  hold<T extends object>(piece: T, bytesOf: (piece: T) => number): void {
    const known = this.#held.get(piece);
    if (known !== undefined) {
      known.holders++;
      return;
    }
    const bytes = bytesOf(piece);
    this.#held.set(piece, { bytes, holders: 1 });
    this.#bytes += bytes;
  }

  /** Takes back one `hold`. */
  release(piece: object): void {
    const known = this.#held.get(piece);
    if (known === undefined || --known.holders > 0) return;
    this.#held.delete(piece);
    this.#bytes -= known.bytes;
  }
}
