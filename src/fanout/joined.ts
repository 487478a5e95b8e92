/**
 * Parts joined to one piece of bytes, made once for all who have to hear the same parts now.
 *
 * The chains of a turn of the event loop form a tree: who goes on with the same part comes to the same
 * chain. They are forgotten soon after the turn.
 */
export interface Joined {
  /** Length of all parts, in bytes. */
  readonly byteLength: number;
  /** All parts. Shared, so not to be changed. */
  readonly bytes: Buffer;
  /** The same and one part more. */
  plus(part: Buffer): Joined;
}

class Chain implements Joined {
  readonly byteLength: number;
  readonly #before: Chain | undefined;
  readonly #part: Buffer;
  #bytes: Buffer | undefined;
  // Nearly all go on alike, so one is at hand.
  #next: Chain | undefined;
  #others: Map<Buffer, Chain> | undefined;

  constructor(before: Chain | undefined, part: Buffer) {
    this.byteLength = (before?.byteLength ?? 0) + part.byteLength;
    this.#before = before;
    this.#part = part;
  }

  get bytes(): Buffer {
    return (this.#bytes ??= this.#join());
  }

  plus(part: Buffer): Chain {
    const next = this.#next;
    if (next !== undefined && next.#part === part) return next;
    let chain = this.#others?.get(part);
    if (chain !== undefined) return chain;
    chain = new Chain(this, part);
    if (this.#next === undefined) this.#next = chain;
    else (this.#others ??= new Map()).set(part, chain);
    return chain;
  }

  #join(): Buffer {
    if (this.#before === undefined || this.#before.byteLength === 0) return this.#part;
    const parts = [this.#part];
    for (let chain: Chain | undefined = this.#before; chain !== undefined; chain = chain.#before)
      parts.push(chain.#part);
    return Buffer.concat(parts.reverse(), this.byteLength);
  }
}

let root: Chain | undefined;
const NOTHING = Buffer.alloc(0);
const forget = () => (root = undefined);

/** Begins with no part. To be used in this turn of the event loop. */
export function beginJoined(): Joined {
  if (root === undefined) {
    root = new Chain(undefined, NOTHING);
    setImmediate(forget);
  }
  return root;
}
