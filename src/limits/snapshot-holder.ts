/** The part of `SnapshotMemory` that holders use. */
export interface HolderBook {
  hold<T extends object>(piece: T, bytesOf: (piece: T) => number): void;
  release(piece: object): void;
  /** @throws StreamError OVERLOADED when there is no room for the pieces of a newcomer. */
  check(newcomer: SnapshotHolder): void;
  /** Called when a holder holds its first piece. */
  enter(holder: SnapshotHolder): void;
  /** Called when it has released its last piece. */
  leave(holder: SnapshotHolder): void;
}

/** A piece held by one holder. */
interface HeldPiece {
  readonly bytes: number;
  times: number;
}

/** The unread snapshots of one connection. */
export class SnapshotHolder {
  readonly address: string;
  readonly #book: HolderBook;
  readonly #onEnd: () => void;
  readonly #pieces = new Map<object, HeldPiece>();
  #bytes = 0;
  #sinceMs = 0;

  /**
   * @param address The address that it counts for.
   * @param onEnd Called when it is ended to make room: the connection must be cut.
   */
  constructor(book: HolderBook, address: string, onEnd: () => void) {
    this.#book = book;
    this.address = address;
    this.#onEnd = onEnd;
  }

  /** Number of bytes held, each shared piece in full. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Since when it has held something without interruption, in milliseconds of a monotonic clock.
   */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** Counts a piece until it has been released as often as it was held. */
  hold<T extends object>(piece: T, bytesOf: (piece: T) => number): void {
    if (this.#pieces.size === 0) {
      this.#sinceMs = performance.now();
      this.#book.enter(this);
    }
    const known = this.#pieces.get(piece);
    if (known !== undefined) {
      known.times++;
      return;
    }
    const bytes = bytesOf(piece);
    this.#pieces.set(piece, { bytes, times: 1 });
    this.#bytes += bytes;
    this.#book.hold(piece, bytesOf);
  }

  /** Undoes one `hold`; has no effect after end(). */
  release(piece: object): void {
    const known = this.#pieces.get(piece);
    if (known === undefined || --known.times > 0) return;
    this.#pieces.delete(piece);
    this.#bytes -= known.bytes;
    this.#book.release(piece);
    if (this.#pieces.size === 0) this.#book.leave(this);
  }

  /** To be called before and after a new subscription reads its first part. @throws StreamError OVERLOADED */
  check(): void {
    this.#book.check(this);
  }

  /** Releases everything and cuts the connection. */
  end(): void {
    for (const piece of this.#pieces.keys()) this.#book.release(piece);
    this.#pieces.clear();
    this.#bytes = 0;
    this.#book.leave(this);
    this.#onEnd();
  }
}

/** How long a holder may take to read before it can be ended to make room, in milliseconds. */
const READING_MS = 1000;

/**
 * The largest holder of the address that holds the most. A holder has `READING_MS` before it
 * counts, so that subscribers that do read do not end one another in turn; an address that holds
 * more than half of the memory has no such grace period.
 */
export function largestHolder(
  holders: Iterable<SnapshotHolder>,
  maxBytes: number,
): SnapshotHolder | undefined {
  const byAddress = new Map<string, { bytes: number; readonly holders: SnapshotHolder[] }>();
  for (const holder of holders) {
    const known = byAddress.get(holder.address);
    if (known === undefined)
      byAddress.set(holder.address, { bytes: holder.bytes, holders: [holder] });
    else {
      known.bytes += holder.bytes;
      known.holders.push(holder);
    }
  }
  let most = { bytes: 0, holders: [] as readonly SnapshotHolder[] };
  for (const each of byAddress.values()) if (each.bytes > most.bytes) most = each;
  const beforeMs =
    most.bytes > maxBytes / 2 ? Number.POSITIVE_INFINITY : performance.now() - READING_MS;
  let largest: SnapshotHolder | undefined;
  for (const holder of most.holders)
    if (holder.sinceMs <= beforeMs && holder.bytes > (largest?.bytes ?? 0)) largest = holder;
  return largest;
}
