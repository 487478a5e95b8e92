/* Messages in the envelopes of gRPC and Connect streams. */

const PREFIX_BYTES = 5;

/** A message in its envelope. @param {Uint8Array} message */
export function envelope(message) {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.byteLength);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.byteLength, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

/**
 * End of the envelope at an offset; -1 if it is incomplete. @type {import("./chorus.mjs").Splitter}
 */
export function splitEnvelope(bytes, at, end) {
  if (end - at < PREFIX_BYTES) return -1;
  const next = at + PREFIX_BYTES + bytes.readUInt32BE(at + 1);
  return next > end ? -1 : next;
}

/** Splits chunks into messages, which are only valid during the call. */
export class EnvelopeReader {
  /** @type {Buffer} */
  #rest = Buffer.alloc(0);
  #onMessage;

  /** @param {(message: Buffer) => void} onMessage */
  constructor(onMessage) {
    this.#onMessage = onMessage;
  }

  /** @param {Buffer} chunk */
  take(chunk) {
    const bytes = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      const end = splitEnvelope(bytes, at, bytes.byteLength);
      if (end < 0) break;
      if (bytes[at] !== 0) throw new Error(`an envelope with flags ${bytes[at]}`);
      this.#onMessage(bytes.subarray(at + PREFIX_BYTES, end));
      at = end;
    }
    // A copy, so that the rest neither retains the whole chunk nor is overwritten.
    this.#rest = Buffer.from(bytes.subarray(at));
  }

  /** Whether no partial envelope is left. */
  get isBetween() {
    return this.#rest.byteLength === 0;
  }
}
