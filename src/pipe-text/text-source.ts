/** Most UTF-16 units of text that wait to be written; no more is read from the source until then. */
const MAX_WAITING = 64 * 1024;

/** Text that has been taken from a source. */
export interface TakenText {
  /** Valid Unicode, at most MAX_WAITING UTF-16 units. */
  readonly text: string;
  /** Whether the source has ended and nothing is left. */
  readonly isLast: boolean;
}

/**
 * Reads chunks of text ahead of their consumer, within a limit.
 *
 * Chunks may split surrogate pairs: the first half waits for the second. A half that stays alone
 * becomes U+FFFD, because no value may contain it.
 */
export class TextSource {
  readonly #chunks: AsyncIterator<string> | Iterator<string>;
  #waiting = "";
  #hasEnded = false;
  #failure: { readonly error: unknown } | undefined;
  #isReading = false;
  /** Called when there is more text, or the end. */
  #notify: (() => void) | undefined;

  constructor(chunks: AsyncIterable<string> | Iterable<string>) {
    this.#chunks =
      Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
    void this.#read();
  }

  /** What the source failed with, once all of its text has been taken. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#waiting === "" ? this.#failure : undefined;
  }

  /** Whether no more text will come before some is taken: it is full or has ended. */
  get isDue(): boolean {
    return this.#hasEnded || this.#waiting.length >= MAX_WAITING;
  }

  /** Resolves when there is text to take, or the source has ended. */
  untilText(): Promise<void> {
    return this.#until(() => this.#hasEnded || this.#complete() > 0);
  }

  /** Resolves when it is due. */
  untilDue(): Promise<void> {
    return this.#until(() => this.isDue);
  }

  /** Takes text, which may be empty. */
  take(): TakenText {
    const length = this.#complete();
    const text = this.#waiting.slice(0, length).toWellFormed();
    this.#waiting = this.#waiting.slice(length);
    void this.#read();
    return { text, isLast: this.#hasEnded && this.#waiting === "" };
  }

  /** Ends the source early. Does not wait for it. */
  close(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#waiting = "";
    this.#endSource();
  }

  #endSource(): void {
    void (async () => this.#chunks.return?.())().catch(() => {});
  }

  /** Number of UTF-16 units that can be taken without splitting a pair. */
  #complete(): number {
    const { length } = this.#waiting;
    const end = Math.min(length, MAX_WAITING);
    const isSplit = isHighSurrogate(this.#waiting.charCodeAt(end - 1));
    // At the end of the source, no other half follows.
    return isSplit && !(this.#hasEnded && end === length) ? end - 1 : end;
  }

  async #read(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      while (!this.isDue) {
        const chunk = await this.#chunks.next();
        // Closed meanwhile.
        if (this.#hasEnded) return;
        if (chunk.done === true) this.#hasEnded = true;
        else if (typeof chunk.value === "string") this.#waiting += chunk.value;
        else {
          this.#endSource();
          throw new TypeError(`A chunk is ${kindOf(chunk.value)}; it may be a string.`);
        }
        this.#notify?.();
      }
    } catch (error) {
      this.#failure = { error };
      this.#hasEnded = true;
      this.#notify?.();
    } finally {
      this.#isReading = false;
    }
  }

  /** For one waiter at a time. */
  #until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#notify = () => {
        if (!condition()) return;
        this.#notify = undefined;
        resolve();
      };
    });
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function kindOf(value: unknown): string {
  return value === null ? "null" : `of type ${typeof value}`;
}
