import type { ByteBudget } from "./body-budget.ts";
import { BODY_TIMEOUT_MS, BodyDeadlines } from "./body-deadlines.ts";

/** Close code of a WebSocket whose frame did not arrive whole in time. */
const FRAME_LATE = 4408;
/** Close code of a WebSocket whose frame the budget has no room for. */
export const NO_ROOM = 1013;
/** What a chunk costs beside its bytes, in bytes: a frame may arrive byte by byte. */
const CHUNK_BYTES = 256;
/** Longest head of a frame: two bytes, the length, and the mask. */
const MAX_HEAD_BYTES = 14;

/** Opens an account for a message of a socket. `cut` is called when the message has to make room for others. */
export type OpenFrameAccount<Socket> = (socket: Socket, cut: () => void) => ByteBudget;

/**
 * Messages of WebSockets that are not whole yet, over all sockets of a door. Their bytes wait in memory
 * for the rest, so they are taken from the budget, and have their time to arrive. A socket whose messages
 * arrive whole costs nothing.
 */
export class PartialFrames<Socket extends object> {
  readonly #open: OpenFrameAccount<Socket>;
  readonly #close: (socket: Socket, code: number, reason: string) => void;
  readonly #deadlines: BodyDeadlines;
  readonly #partials = new Map<Socket, PartialFrame>();
  #spare = new FrameReader();

  /**
   * @param open Opens an account for a message, whose bytes are taken from it.
   * @param close Closes the WebSocket of a socket, whose message is late or has no room in the budget.
   * @param deadlines How long a message may take.
   */
  constructor(
    open: OpenFrameAccount<Socket>,
    close: (socket: Socket, code: number, reason: string) => void,
    deadlines: BodyDeadlines = new BodyDeadlines(BODY_TIMEOUT_MS),
  ) {
    this.#open = open;
    this.#close = close;
    this.#deadlines = deadlines;
  }

  /** Looks at a chunk that the WebSocket of a socket has received. */
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
    this.#close(socket, NO_ROOM, "the service holds as many bytes of requests as it may");
  }

  #hold(socket: Socket, partial: PartialFrame, { byteLength }: Uint8Array): void {
    const bytes = byteLength + CHUNK_BYTES;
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
  late(): void;
}

/** Follows where frames of a client end (RFC 6455, section 5.2). Whether they are valid is for others. */
class FrameReader {
  /** Bytes of a head that is not whole. */
  readonly #head = new Uint8Array(MAX_HEAD_BYTES);
  #headBytes = 0;
  /** Bytes of the payload that are to come. */
  #payloadBytes = 0;
  /** Whether a message in several frames has begun and not ended. */
  #isInMessage = false;

  /** @returns Whether all messages that began are whole after this chunk. */
  read(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#payloadBytes > 0) {
        const passed = Math.min(this.#payloadBytes, chunk.byteLength - at);
        this.#payloadBytes -= passed;
        at += passed;
      } else {
        this.#head[this.#headBytes++] = chunk[at++] ?? 0;
        if (this.#headBytes === this.#headNeeds()) this.#begin();
      }
    }
    return this.#payloadBytes === 0 && this.#headBytes === 0 && !this.#isInMessage;
  }

  /** The length of the head that has begun, as far as it is known. */
  #headNeeds(): number {
    if (this.#headBytes < 2) return 2;
    const second = this.#head[1] ?? 0;
    const length = second & 0x7f;
    return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second & 0x80 ? 4 : 0);
  }

  /** The head is whole. */
  #begin(): void {
    const view = new DataView(this.#head.buffer);
    const first = view.getUint8(0);
    const length = view.getUint8(1) & 0x7f;
    this.#payloadBytes =
      length === 127 ? Number(view.getBigUint64(2)) : length === 126 ? view.getUint16(2) : length;
    this.#headBytes = 0;
    // Control frames come between those of a message.
    const isControl = (first & 0x08) !== 0;
    if (!isControl) this.#isInMessage = (first & 0x80) === 0;
  }
}
