/** A read that waits for room. */
interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

/**
 * The memory for results of one socket. A read starts once there is room for its largest response, so
 * that a client which reads as fast as it can is never closed for the size of what it asked for.
 * Results of writes need no room: they are counted when they are there.
 */
export class ResultRoom {
  readonly #maxBytes: number;
  #waiting: Waiting[] = [];
  /** Bytes of the largest responses of the reads that run. */
  #reservedBytes = 0;
  #unreadBytes = 0;

  /** @param maxBytes Most bytes of results, expected ones included. One read may always run. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of results that the client has not read. */
  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /** Starts a read now, or when there is room. `leave` has to follow with the same bytes. */
  enter(bytes: number, start: () => void): void {
    if (this.#waiting.length > 0 || !this.#hasRoom(bytes))
      return void this.#waiting.push({ bytes, start });
    this.#reservedBytes += bytes;
    start();
  }

  /** Releases the room of a read whose result is known. */
  leave(bytes: number): void {
    this.#reservedBytes -= bytes;
    this.#startNext();
  }

  /** Counts a result that is sent. */
  hold(bytes: number): void {
    this.#unreadBytes += bytes;
  }

  /** Counts a result that the client has read, or will not read any more. */
  release(bytes: number): void {
    this.#unreadBytes -= bytes;
    this.#startNext();
  }

  /** Starts the reads that wait: their socket has closed, and no result will be sent. */
  close(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { bytes, start } of waiting) {
      this.#reservedBytes += bytes;
      start();
    }
  }

  #hasRoom(bytes: number): boolean {
    const held = this.#reservedBytes + this.#unreadBytes;
    return held === 0 || held + bytes <= this.#maxBytes;
  }

  #startNext(): void {
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || !this.#hasRoom(next.bytes)) return;
      this.#waiting.shift();
      this.#reservedBytes += next.bytes;
      next.start();
    }
  }
}
