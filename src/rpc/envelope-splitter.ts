import { MAX_REQUEST_BYTES, bodyInvalid, bodyTooLarge } from "./request-body.ts";

const PREFIX_BYTES = 5;

/** Cuts a stream of bytes into the messages of plain gRPC, as they come. */
export class EnvelopeSplitter {
  /** What is left of the chunks before: less than a message. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** Bytes that are needed to go on. */
  #needed = PREFIX_BYTES;

  /** Whether nothing is left over. */
  get isAtEnd(): boolean {
    return this.#restBytes === 0;
  }

  /**
   * Takes more bytes.
   *
   * @param onMessage Called with each message that is whole now. The bytes are part of the chunk.
   * @throws StreamError REQUEST_INVALID for what is no message, or too large.
   */
  push(chunk: Buffer, onMessage: (message: Buffer) => void): void {
    if (this.#restBytes + chunk.length < this.#needed) {
      this.#rest.push(chunk);
      this.#restBytes += chunk.length;
      return;
    }
    let bytes = chunk;
    if (this.#restBytes > 0)
      bytes = Buffer.concat([...this.#rest, chunk], this.#restBytes + chunk.length);
    let at = 0;
    for (;;) {
      this.#needed = PREFIX_BYTES;
      if (bytes.length - at < PREFIX_BYTES) break;
      const size = bytes.readUInt32BE(at + 1);
      if (size > MAX_REQUEST_BYTES) throw bodyTooLarge();
      this.#needed += size;
      if (bytes.length - at < this.#needed) break;
      checkFlags(bytes[at] ?? 0);
      onMessage(bytes.subarray(at + PREFIX_BYTES, at + this.#needed));
      at += this.#needed;
    }
    this.#rest = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#restBytes = bytes.length - at;
  }
}

/** @throws StreamError REQUEST_INVALID unless the message is plain. */
export function checkFlags(flags: number): void {
  if (flags === 0) return;
  throw flags === 1
    ? bodyInvalid("The request has a compressed message but names no compression.")
    : bodyInvalid(`The request has a message with flags ${flags}; they may be 0 or 1.`);
}
