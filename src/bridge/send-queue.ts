import type { SnapshotHolder } from "../limits/snapshot-holder.ts";
import type { SnapshotMemory } from "../limits/snapshot-memory.ts";
import type { Reader } from "../service/handlers.ts";
import type { DeltaCompression } from "./delta-compression.ts";
import { byteLengthOf } from "../wire/response/encode-once.ts";

/** The sending side of a socket. */
export interface OutletSocket {
  /** Bytes that were sent but not yet accepted by the operating system. */
  readonly bufferedBytes: number;
  /** The compression of its deltas, if the client asked for it. */
  readonly compression: DeltaCompression | undefined;
  /** The address whose share of the memory its snapshots take. */
  readonly address: string;
  /** Cuts the connection at once, to free the memory of its unread frames. */
  cut(): void;
  /**
   * Sends whole frames. `taken` is called when the operating system accepted them, or never will.
   */
  send(frames: Buffer, taken: () => void): void;
}

/** How many bytes a socket may buffer before its subscriptions have to wait. */
const HIGH_WATER_BYTES = 64 * 1024;
/** How many bytes of responses to its own frames a client may leave unread. */
const MAX_UNREAD_REPLIES_BYTES = 256 * 1024;

/**
 * The sending side of one socket, with backpressure: frames that do not fit wait at their source
 * (G7).
 */
export class SendQueue {
  readonly #socket: OutletSocket;
  /** Readers that wait for room, in turn. */
  #waiting: Set<Reader> | undefined;
  #repliesBytes = 0;
  /** Holds the unread snapshots; undefined until there is one. */
  #holder: SnapshotHolder | undefined;

  constructor(socket: OutletSocket) {
    this.#socket = socket;
  }

  /** Whether readers have to wait before they send more. */
  get isFull(): boolean {
    return this.#socket.bufferedBytes > HIGH_WATER_BYTES;
  }

  /** Wakes a reader once, when there is room. Waiting readers take turns. */
  whenFree(reader: Reader): void {
    this.#waiting ??= new Set();
    this.#waiting.delete(reader);
    this.#waiting.add(reader);
  }

  /** The form of a delta that this socket gets, if it is the next frame to be sent. */
  formOf(delta: Buffer): Buffer {
    return this.#socket.compression?.next(delta) ?? delta;
  }

  /** Sends frames of a subscription. The caller checks isFull first. */
  send(frames: Buffer): void {
    this.#socket.send(frames, this.wake);
  }

  /** Sends a snapshot, which counts in the memory until the operating system has accepted it. */
  sendSnapshot(frame: Buffer, memory: SnapshotMemory): void {
    this.#sendHeld(frame, memory, this.wake);
  }

  /**
   * Sends the result of a call, which counts like a snapshot. `taken` is called when the operating
   * system has accepted it, or never will.
   */
  sendResult(frame: Buffer, memory: SnapshotMemory, taken: () => void): void {
    this.#sendHeld(frame, memory, () => {
      taken();
      this.wake();
    });
  }

  #sendHeld(frame: Buffer, memory: SnapshotMemory, taken: () => void): void {
    const holder = this.holderIn(memory);
    holder.hold(frame, byteLengthOf);
    this.#socket.send(frame, () => {
      holder.release(frame);
      if (holder.bytes === 0 && this.#holder === holder) this.#holder = undefined;
      taken();
    });
  }

  /** What its snapshots count for, before and after they are sent. */
  holderIn(memory: SnapshotMemory): SnapshotHolder {
    return (this.#holder ??= memory.holderOf(this.#socket.address, () => this.#socket.cut()));
  }

  /** Responds to a frame of the client. @returns false when it leaves too many responses unread. */
  reply(frame: Buffer): boolean {
    const bytes = frame.byteLength;
    this.#repliesBytes += bytes;
    this.#socket.send(frame, () => {
      this.#repliesBytes -= bytes;
      this.wake();
    });
    return this.#repliesBytes <= MAX_UNREAD_REPLIES_BYTES;
  }

  /** Forgets the waiting readers. */
  close(): void {
    this.#waiting = undefined;
  }

  /** Wakes waiting readers while there is room. */
  readonly wake = (): void => {
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
