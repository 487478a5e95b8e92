import type { ByteBudget } from "./body-budget.ts";
import { BODY_TIMEOUT_MS, BodyDeadlines } from "./body-deadlines.ts";

/** Close code of a WebSocket whose frame did not arrive whole in time. */
const FRAME_LATE = 4408;
/** Close code of a WebSocket whose frame exceeds the budget. */
export const NO_ROOM = 1013;
/** Memory of a chunk beyond its content, in bytes: a frame may arrive byte by byte. */
const CHUNK_BYTES = 256;
/** Set in the first byte of a compressed message (RFC 7692, 6). */
const COMPRESSED = 0x40;
/** Longest header of a frame: two bytes, the length, and the mask. */
const MAX_HEADER_BYTES = 14;

/**
 * Opens an account for a message of a socket. `cut` is called when the message has to make room for
 * others.
 */
export type OpenFrameAccount<Socket> = (socket: Socket, cut: () => void) => ByteBudget;

/**
 * WebSocket messages that are still arriving, over all sockets of an endpoint. Their bytes stay in
 * memory until the rest arrives, so they count against the budget, and the rest has a deadline. A
 * socket whose messages arrive whole costs nothing.
 */
export class PartialFrames<Socket extends object> {
  readonly #open: OpenFrameAccount<Socket>;
  readonly #close: (socket: Socket, code: number, reason: string) => void;
  readonly #inflatedBytes: (socket: Socket) => number;
  readonly #deadlines: BodyDeadlines;
  readonly #partials = new Map<Socket, PartialFrame>();
  #spare = new FrameReader();

  /**
   * @param open Opens an account for a message, whose bytes are taken from it.
   * @param close Closes the WebSocket of a socket whose message is late or exceeds the budget.
   * @param inflatedBytes Most bytes that a compressed message of a socket inflates to. One in several
   *   frames is inflated as they come, so it counts as large as it can become.
   * @param deadlines How long a message may take.
   */
  constructor(
    open: OpenFrameAccount<Socket>,
    close: (socket: Socket, code: number, reason: string) => void,
    inflatedBytes: (socket: Socket) => number = () => 0,
    deadlines: BodyDeadlines = new BodyDeadlines(BODY_TIMEOUT_MS),
  ) {
    this.#open = open;
    this.#close = close;
    this.#inflatedBytes = inflatedBytes;
    this.#deadlines = deadlines;
  }

  /** Inspects a chunk that the WebSocket of a socket has received. */
  receive(socket: Socket, chunk: Uint8Array): void {
    const partial = this.#partials.get(socket);
    const reader = partial?.reader ?? this.#spare;
    const isWhole = reader.read(chunk);
    if (isWhole) {
      if (partial !== undefined) this.forget(socket);
    } else if (partial !== undefined) this.#hold(socket, partial, chunk);
    else {
      this.#spare = new FrameReader();
      const begun: PartialFrame = {
        reader,
        account: this.#open(socket, () => this.#cut(socket)),
        heldBytes: 0,
        isInflated: false,
        late: () => {
          this.forget(socket);
          this.#close(socket, FRAME_LATE, "a frame did not arrive whole in time");
        },
      };
      this.#partials.set(socket, begun);
      this.#deadlines.begin(begun);
      this.#hold(socket, begun, chunk);
    }
  }

  /** Forgets a socket: it is closed. Idempotent. */
  forget(socket: Socket): void {
    const partial = this.#partials.get(socket);
    if (partial === undefined) return;
    this.#partials.delete(socket);
    this.#deadlines.end(partial);
    partial.account.give(partial.heldBytes);
  }

  #cut(socket: Socket): void {
    this.forget(socket);
    this.#close(socket, NO_ROOM, "the service is at its limit of request bytes in memory");
  }

  #hold(socket: Socket, partial: PartialFrame, { byteLength }: Uint8Array): void {
    let bytes = byteLength + CHUNK_BYTES;
    if (partial.reader.isInflating && !partial.isInflated) {
      partial.isInflated = true;
      bytes += this.#inflatedBytes(socket);
    }
    try {
      partial.account.take(bytes, partial.heldBytes + bytes);
      partial.heldBytes += bytes;
    } catch {
      this.#cut(socket);
    }
  }
}

interface PartialFrame {
  readonly account: ByteBudget;
  readonly reader: FrameReader;
  heldBytes: number;
  /** Whether the inflated size of a message is among them. */
  isInflated: boolean;
  late(): void;
}

/** Tracks where frames of a client end (RFC 6455, section 5.2), without validating them. */
class FrameReader {
  /** Bytes of an incomplete header. */
  readonly #header = new Uint8Array(MAX_HEADER_BYTES);
  #headerBytes = 0;
  /** Payload bytes that have yet to arrive. */
  #payloadBytes = 0;
  /** Whether a message in several frames is incomplete. */
  #isInMessage = false;
  #isCompressed = false;

  /** Whether a compressed message in several frames is incomplete. */
  get isInflating(): boolean {
    return this.#isInMessage && this.#isCompressed;
  }

  /** @returns Whether all messages that began are whole after this chunk. */
  read(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#payloadBytes > 0) {
        const passed = Math.min(this.#payloadBytes, chunk.byteLength - at);
        this.#payloadBytes -= passed;
        at += passed;
      } else {
        this.#header[this.#headerBytes++] = chunk[at++] ?? 0;
        if (this.#headerBytes === this.#headerLength()) this.#beginPayload();
      }
    }
    return this.#payloadBytes === 0 && this.#headerBytes === 0 && !this.#isInMessage;
  }

  /** Length of the header that has begun, as far as it is known. */
  #headerLength(): number {
    if (this.#headerBytes < 2) return 2;
    const second = this.#header[1] ?? 0;
    const length = second & 0x7f;
    return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second & 0x80 ? 4 : 0);
  }

  /** Begins the payload of a frame whose header is complete. */
  #beginPayload(): void {
    const view = new DataView(this.#header.buffer);
    const first = view.getUint8(0);
    const length = view.getUint8(1) & 0x7f;
    this.#payloadBytes =
      length === 127 ? Number(view.getBigUint64(2)) : length === 126 ? view.getUint16(2) : length;
    this.#headerBytes = 0;
    // Control frames may come between the frames of a message.
    const isControl = (first & 0x08) !== 0;
    if (isControl) return;
    // Only the first frame of a message says that it is compressed.
    if (!this.#isInMessage) this.#isCompressed = (first & COMPRESSED) !== 0;
    this.#isInMessage = (first & 0x80) === 0;
  }
}
