import { StreamError } from "../core/errors.ts";
import { RETRY_AFTER_MS } from "./refusals.ts";
import { type HolderBook, SnapshotHolder, largestHolder } from "./snapshot-holder.ts";

/**
 * Time after which a subscription that was refused for lack of memory may retry, in milliseconds.
 */
const RETRY_MS = 1000;

/** Default limit of the memory of unread snapshots, in bytes. */
export const DEFAULT_MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;

/**
 * Counts the memory of snapshots that subscribers have not read yet, over all subscriptions. A
 * piece with several holders, such as a shared part of a snapshot, counts once.
 *
 * hold() never fails. While the limit is exceeded, a new subscription ends the largest holders of
 * the largest address; it is refused only when there are none to end.
 */
export class SnapshotMemory implements HolderBook {
  /** Holders that hold something now. */
  readonly #holders = new Set<SnapshotHolder>();
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

  /** Whether the limit is exceeded. */
  get isFull(): boolean {
    return this.#bytes > this.#maxBytes;
  }

  /**
   * To be called before a new subscription reads its snapshot, and before its first part is
   * delivered.
   *
   * @param newcomer The holder of the subscription, if it has one: it is refused, not ended.
   * @throws StreamError OVERLOADED
   */
  check(newcomer?: SnapshotHolder): void {
    if (!this.makeRoom(newcomer)) throw this.refusal();
  }

  /**
   * Ends the largest holders while the limit is exceeded.
   *
   * @param newcomer A holder that is not ended: its subscription is refused instead.
   * @returns Whether the memory is within its limit now.
   */
  makeRoom(newcomer?: SnapshotHolder): boolean {
    while (this.isFull) {
      const largest = largestHolder(this.#holders, this.#maxBytes);
      if (largest === undefined || largest === newcomer) return false;
      largest.end();
    }
    return true;
  }

  /**
   * A holder, such as a socket, that can be ended to make room. It costs nothing while it holds
   * nothing.
   */
  holderOf(address: string, onEnd: () => void): SnapshotHolder {
    return new SnapshotHolder(this, address, onEnd);
  }

  /** @see HolderBook */
  enter(holder: SnapshotHolder): void {
    this.#holders.add(holder);
  }

  /** @see HolderBook */
  leave(holder: SnapshotHolder): void {
    this.#holders.delete(holder);
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
   * Counts a piece until it has been released as often as it was held.
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
