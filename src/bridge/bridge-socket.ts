import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import type { Caller } from "../rights/caller.ts";
import type { SocketAdmission } from "../limits/caller-limiter.ts";
import { RateScope, type Throttle } from "../limits/throttle.ts";
import { type Rate, TokenBucket } from "../limits/token-bucket.ts";
import { CLOSE } from "./close-codes.ts";
import type { DeltaCompression } from "./delta-compression.ts";
import { Liveness } from "./liveness.ts";
import { BridgeSession } from "./session.ts";
import type { SessionOptions, SessionSocket } from "./session-options.ts";

/** The `readyState` of an open WebSocket. */
const OPEN = 1;
/** How long a closing handshake may take before the socket is terminated, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;
/** The same for a client that was too slow: it reads the buffered frames before the close code. */
const SLOW_CLOSE_TIMEOUT_MS = 30_000;
/** How many unread bytes a socket may buffer before its pings get no pong. */
const MAX_UNREAD_BYTES = 64 * 1024;

/** Dependencies of sockets. */
export interface BridgeSocketOptions extends SessionOptions {
  readonly rates: SocketRates;
}

/** How fast one client may send. */
export interface SocketRates {
  readonly frames: Rate;
  /** Joins. */
  readonly subscriptions: Rate;
  readonly calls: Rate;
}

/** The owner of all sockets. */
export interface BridgeSocketOwner {
  /** Called once, when the session has ended. */
  onStopped(webSocket: WebSocket, stream: Duplex): void;
  /** Called when the client has said hello. */
  onHello(webSocket: WebSocket, stream: Duplex, caller: Caller): void;
  /** Called when the loss of its connection matters soon. */
  onPingOften(webSocket: WebSocket): void;
}

/**
 * An open WebSocket and its session. There are many thousands, so the bridge holds what they share:
 * it forwards the events of ws, and checks the liveness of all sockets with one timer.
 */
export class BridgeSocket implements SessionSocket {
  readonly session: BridgeSession;
  /** @see SessionSocket */
  readonly compression: DeltaCompression | undefined;
  readonly #webSocket: WebSocket;
  readonly #stream: Duplex;
  readonly #liveness = new Liveness();
  readonly #frames: TokenBucket;
  readonly #admission: SocketAdmission;
  readonly #owner: BridgeSocketOwner;
  readonly #options: BridgeSocketOptions;
  #isOpen = true;

  /**
   * @param admission The address of the client, and a limit of frames beside that of the socket.
   * @param compression Of its deltas, if the client asked for it.
   */
  constructor(
    webSocket: WebSocket,
    stream: Duplex,
    options: BridgeSocketOptions,
    caller: Caller,
    admission: SocketAdmission,
    owner: BridgeSocketOwner,
    compression: DeltaCompression | undefined,
  ) {
    this.compression = compression;
    this.#webSocket = webSocket;
    this.#stream = stream;
    this.#options = options;
    const { rates } = options;
    const nowMs = performance.now();
    this.#frames = new TokenBucket(rates.frames, nowMs);
    this.#admission = admission;
    this.#owner = owner;
    const subscriptions = new TokenBucket(rates.subscriptions, nowMs);
    this.session = new BridgeSession(options, this, subscriptions, caller);
  }

  /** What lies under the WebSocket. */
  get stream(): Duplex {
    return this.#stream;
  }

  /** @see SessionSocket */
  get address(): string {
    return this.#admission.address;
  }

  /** @see SessionSocket */
  cut(): void {
    this.close(CLOSE.SLOW_SUBSCRIBER, "snapshots are not read while memory is full");
    this.#webSocket.terminate();
  }

  /** @see SessionSocket */
  get bufferedBytes(): number {
    return this.#stream.writableLength;
  }

  /**
   * Frames bypass ws, which would build a header for each socket. That is safe, because they are
   * whole frames, and ws keeps no state between its own: it sends control frames only, which are
   * never compressed.
   *
   * @see SessionSocket
   */
  send(frames: Buffer, taken: () => void): void {
    // No frame may follow a close frame.
    if (this.#webSocket.readyState === OPEN) this.#stream.write(frames, taken);
    else process.nextTick(taken);
  }

  /** Ends the session, then the socket with a closing handshake. Idempotent. */
  close(code: number, reason: string): void {
    if (!this.stop()) return;
    this.#webSocket.close(code, reason);
    this.#terminateAfter(code === CLOSE.SLOW_SUBSCRIBER ? SLOW_CLOSE_TIMEOUT_MS : CLOSE_TIMEOUT_MS);
  }

  /**
   * Ends the session; later frames are discarded.
   *
   * @param isClean Whether the client has closed the socket: it does not come back.
   * @returns Whether it was open until now.
   */
  stop(isClean = false): boolean {
    if (!this.#isOpen) return false;
    this.#isOpen = false;
    this.session.close(isClean);
    this.#owner.onStopped(this.#webSocket, this.#stream);
    return true;
  }

  /** Receives a message. */
  receive(data: RawData): void {
    // The frames of a client that has said hello are counted when they are read.
    if (this.session.saidHello) this.#liveness.onFrame();
    else if (!this.admitFrame()) return;
    this.session.receive(textOf(data));
  }

  /** @see SessionSocket */
  pause(): void {
    this.#webSocket.pause();
  }

  /** @see SessionSocket */
  resume(): void {
    this.#webSocket.resume();
  }

  /** @see SessionSocket */
  onHello(caller: Caller): void {
    this.#owner.onHello(this.#webSocket, this.#stream, caller);
  }

  /** @see SessionSocket */
  pingOften(): void {
    if (this.#isOpen) this.#owner.onPingOften(this.#webSocket);
  }

  /** @see SessionSocket */
  callThrottle(): Throttle | undefined {
    const { throttle } = this.#admission;
    return throttle?.within(new RateScope(this.#options.rates.calls, performance.now()));
  }

  /** Receives a ping. A client that does not read gets no more pongs. */
  receivePing(data: Buffer): void {
    if (this.admitFrame() && this.#webSocket.bufferedAmount <= MAX_UNREAD_BYTES)
      this.#webSocket.pong(data);
  }

  /** Receives a pong. */
  receivePong(): void {
    this.admitFrame();
  }

  /** Ends the session after a protocol error or an oversized frame. ws sends its close code. */
  fail(): void {
    if (this.stop()) this.#terminateAfter(CLOSE_TIMEOUT_MS);
  }

  /** To be called CHECKS_PER_INTERVAL times per interval between pings. */
  check(): void {
    const next = this.#liveness.check();
    if (next === "ping") this.#webSocket.ping();
    else if (next === "dead") this.close(CLOSE.NO_PONG, "no sign of life");
  }

  /** @see SessionSocket */
  admitFrame(): boolean {
    if (!this.#isOpen) return false;
    this.#liveness.onFrame();
    if (this.#frames.take(performance.now()) === 0 && this.#admission.throttle?.frame() !== false)
      return true;
    this.close(CLOSE.TOO_MUCH, "frames come too fast");
    return false;
  }

  #terminateAfter(ms: number): void {
    const webSocket = this.#webSocket;
    const timer = setTimeout(() => webSocket.terminate(), ms);
    webSocket.once("close", () => clearTimeout(timer));
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The text of a frame; undefined when it is not valid UTF-8. */
function textOf(data: RawData): string | undefined {
  try {
    return utf8.decode(Array.isArray(data) ? Buffer.concat(data) : data);
  } catch {
    return undefined;
  }
}
