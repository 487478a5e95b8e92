/**
 * Parts joined into one buffer, made once for all subscribers that receive the same parts in one
 * turn.
 *
 * The chains of a turn of the event loop form a tree: the same part added to the same chain leads
 * to the same next chain. The tree is dropped right after the turn.
 */
export interface Joined {
  /** Length of all parts, in bytes. */
  readonly byteLength: number;
  /** All parts. Shared: do not modify. */
  readonly bytes: Buffer;
  /** This chain and one more part. */
  plus(part: Buffer): Joined;
}

class Chain implements Joined {
  readonly byteLength: number;
  readonly #before: Chain | undefined;
  readonly #part: Buffer;
  #bytes: Buffer | undefined;
  // Nearly all subscribers continue with the same part, so the first one needs no map.
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
const drop = () => (root = undefined);

/** The empty chain of this turn of the event loop. Use it within the turn only. */
export function beginJoined(): Joined {
  if (root === undefined) {
    root = new Chain(undefined, NOTHING);
    setImmediate(drop);
  }
  return root;
}
