import { StreamError } from "../core/errors.ts";
import { RETRY_AFTER_MS } from "./refusals.ts";

/** Time after which a subscription that was refused for memory may retry, in milliseconds. */
const RETRY_MS = 1000;

/** Default limit of the memory of unread snapshots, in bytes. */
export const DEFAULT_MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;

/**
 * Counts the memory of snapshots that subscribers have not read yet, over all subscriptions. A
 * piece with several holders, such as a shared part of a snapshot, counts once.
 *
 * hold() never fails, because an open subscription is not ended for lack of memory. New
 * subscriptions are refused while the limit is exceeded.
 */
export class SnapshotMemory {
  readonly #maxBytes: number;
  readonly #held = new Map<object, { readonly bytes: number; holders: number }>();
  #bytes = 0;

  constructor(maxBytes = DEFAULT_MAX_SNAPSHOT_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Number of bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether new subscriptions are refused. */
  get isFull(): boolean {
    return this.#bytes > this.#maxBytes;
  }

  /**
   * To be called before a new subscription reads its snapshot, and before its first part is
   * delivered.
   *
   * @throws StreamError OVERLOADED
   */
  check(): void {
    if (this.isFull) throw this.refusal();
  }

  /** The refusal of a subscription while the memory is full. */
  refusal(): StreamError {
    return new StreamError(
      "OVERLOADED",
      "Too many snapshots wait for subscribers that have not read them; try again later.",
      { metadata: { [RETRY_AFTER_MS]: String(RETRY_MS) } },
    );
  }

  /**
   * Counts a piece until it was released as often as it was held.
   *
   * @param bytesOf Its size; called only for the first holder.
   */
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

  /** Undoes one `hold`. */
  release(piece: object): void {
    const known = this.#held.get(piece);
    if (known === undefined || --known.holders > 0) return;
    this.#held.delete(piece);
    this.#bytes -= known.bytes;
  }
}
