import type { SnapshotMemory } from "../limits/snapshot-memory.ts";
import type { Reader } from "../service/handlers.ts";

/** The socket as the bridge sends to it. */
export interface OutletSocket {
  /** Bytes that were sent but not yet taken by the system. */
  readonly bufferedBytes: number;
  /** Sends whole frames. `taken` is called when the system has taken them, or never will. */
  send(frames: Buffer, taken: () => void): void;
}

/** How much may lie in a socket before its subscriptions have to wait, in bytes. */
const HIGH_WATER_BYTES = 64 * 1024;
/** How much of answers to its own frames a client may leave lying, in bytes. */
const MAX_UNREAD_REPLIES_BYTES = 256 * 1024;

/** The way out of one socket. What the client does not take has to wait: nothing is piled up here (G7). */
export class Outlet {
  readonly #socket: OutletSocket;
  /** Who waits, in turn. */
  #waiting: Set<Reader> | undefined;
  #repliesBytes = 0;

  constructor(socket: OutletSocket) {
    this.#socket = socket;
  }

  /** Whether whoever has more to send has to wait. */
  get isFull(): boolean {
    return this.#socket.bufferedBytes > HIGH_WATER_BYTES;
  }

  /** Wakes a reader, once, when there is room. Those who wait take turns. */
  whenFree(reader: Reader): void {
    this.#waiting ??= new Set();
    this.#waiting.delete(reader);
    this.#waiting.add(reader);
  }

  /** Sends frames of a subscription, which asked first whether there is room. */
  send(frames: Buffer): void {
    this.#socket.send(frames, this.#taken);
  }

  /** Sends a snapshot, which counts until the system has taken it. */
  sendSnapshot(frame: Buffer, memory: SnapshotMemory): void {
    memory.hold(frame, ({ byteLength }) => byteLength);
    this.#socket.send(frame, () => {
      memory.release(frame);
      this.#taken();
    });
  }

  /** Answers a frame of the client. @returns false when it leaves too many answers lying. */
  reply(frame: Buffer): boolean {
    const bytes = frame.byteLength;
    this.#repliesBytes += bytes;
    this.#socket.send(frame, () => {
      this.#repliesBytes -= bytes;
      this.#taken();
    });
    return this.#repliesBytes <= MAX_UNREAD_REPLIES_BYTES;
  }

  /** Forgets those who wait. */
  close(): void {
    this.#waiting = undefined;
  }

  readonly #taken = () => {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    for (const reader of waiting) {
      if (this.isFull) return;
      waiting.delete(reader);
      reader.wake();
    }
    if (waiting.size === 0) this.#waiting = undefined;
  };
}
