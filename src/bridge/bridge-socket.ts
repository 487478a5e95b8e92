import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import type { ConnectionIds } from "../service/connection-ids.ts";
import type { Throttle } from "../limits/throttle.ts";
import { type Rate, TokenBucket } from "../limits/token-bucket.ts";
import type { Handlers } from "../service/handlers.ts";
import { CLOSE } from "./close-codes.ts";
import type { BridgeLimits } from "./limits.ts";
import { Liveness } from "./liveness.ts";
import { BridgeSession, type SessionSocket } from "./session.ts";

/** The state of a WebSocket that is open, as the standard numbers it. */
const OPEN = 1;
/** How long a closing handshake may take before the socket is cut, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;
/** The same for a client that was too slow: it gets to the code once it has read what lies before it. */
const SLOW_CLOSE_TIMEOUT_MS = 30_000;
/** How much may lie in a socket before pings go unanswered, in bytes. */
const MAX_UNREAD_BYTES = 64 * 1024;

/** What sockets work with. */
export interface BridgeSocketOptions {
  readonly handlers: Handlers;
  readonly limits: BridgeLimits;
  /** By the stream under the WebSocket. */
  readonly connectionIds: ConnectionIds;
  readonly rates: SocketRates;
}

/** How fast one client may send. */
export interface SocketRates {
  readonly frames: Rate;
  /** Joins. */
  readonly subscriptions: Rate;
}

/**
 * A WebSocket that is open, and its session. There are many thousands, so what they have in common is
 * held by the bridge: it passes on the events of ws, and looks after the life of all with one timer.
 */
export class BridgeSocket implements SessionSocket {
  readonly session: BridgeSession;
  readonly #webSocket: WebSocket;
  readonly #stream: Duplex;
  readonly #connectionIds: ConnectionIds;
  readonly #liveness = new Liveness();
  readonly #frames: TokenBucket;
  readonly #throttle: Throttle | undefined;
  readonly #onStopped: (webSocket: WebSocket) => void;
  #isOpen = true;

  /**
   * @param context What `authenticate` said of the client.
   * @param throttle Slows down frames beside the limits of the socket; undefined when no other limit applies.
   * @param onStopped Called once, when the session has ended.
   */
  constructor(
    webSocket: WebSocket,
    stream: Duplex,
    { handlers, limits, rates, connectionIds }: BridgeSocketOptions,
    context: string,
    throttle: Throttle | undefined,
    onStopped: (webSocket: WebSocket) => void,
  ) {
    this.#webSocket = webSocket;
    this.#stream = stream;
    this.#connectionIds = connectionIds;
    const nowMs = performance.now();
    this.#frames = new TokenBucket(rates.frames, nowMs);
    this.#throttle = throttle;
    this.#onStopped = onStopped;
    const subscriptions = new TokenBucket(rates.subscriptions, nowMs);
    this.session = new BridgeSession(handlers, this, limits, subscriptions, context);
  }

  /** @see SessionSocket */
  get connectionId(): string {
    return this.#connectionIds(this.#stream);
  }

  /** @see SessionSocket */
  get bufferedBytes(): number {
    return this.#stream.writableLength;
  }

  /**
   * Frames go past ws, which would make a header for each and every socket: it only has to know nothing
   * of what lies between its own.
   *
   * @see SessionSocket
   */
  send(frames: Buffer, taken: () => void): void {
    // Nothing may follow a closing frame.
    if (this.#webSocket.readyState === OPEN) this.#stream.write(frames, taken);
    else process.nextTick(taken);
  }

  /** Ends the session, then the socket with a closing handshake. Idempotent. */
  close(code: number, reason: string): void {
    if (!this.stop()) return;
    this.#webSocket.close(code, reason);
    this.#cutAfter(code === CLOSE.SLOW_SUBSCRIBER ? SLOW_CLOSE_TIMEOUT_MS : CLOSE_TIMEOUT_MS);
  }

  /** Ends the session. What still comes is read away, unheard. @returns whether it was open until now. */
  stop(): boolean {
    if (!this.#isOpen) return false;
    this.#isOpen = false;
    this.session.close();
    this.#onStopped(this.#webSocket);
    return true;
  }

  /** A message came. */
  receive(data: RawData): void {
    if (this.#admitsFrame()) this.session.receive(textOf(data));
  }

  /** A ping came. Who does not read its answers gets no more of them. */
  receivePing(data: Buffer): void {
    if (this.#admitsFrame() && this.#webSocket.bufferedAmount <= MAX_UNREAD_BYTES)
      this.#webSocket.pong(data);
  }

  /** A pong came. */
  receivePong(): void {
    this.#admitsFrame();
  }

  /** A breach of the protocol, or a frame too large: ws closes with its code, which the client gets to read. */
  fail(): void {
    if (this.stop()) this.#cutAfter(CLOSE_TIMEOUT_MS);
  }

  /** To be called CHECKS_PER_INTERVAL times per interval of pings. */
  check(): void {
    const next = this.#liveness.check();
    if (next === "ping") this.#webSocket.ping();
    else if (next === "dead") this.close(CLOSE.NO_PONG, "no sign of life");
  }

  #admitsFrame(): boolean {
    if (!this.#isOpen) return false;
    this.#liveness.onFrame();
    if (this.#frames.take(performance.now()) === 0 && this.#throttle?.frame() !== false)
      return true;
    this.close(CLOSE.TOO_MUCH, "frames come too fast");
    return false;
  }

  #cutAfter(ms: number): void {
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
