import { isRecord } from "../core/is-record.ts";
import { StreamError } from "../core/errors.ts";
import { HeldElsewhere } from "../core/held-elsewhere.ts";
import type { SnapshotMemory } from "../limits/snapshot-memory.ts";
import { RETRY_AFTER_MS } from "../limits/refusals.ts";
import type { Throttle } from "../limits/throttle.ts";
import type { Caller } from "../rights/caller.ts";
import { expired, hasExpired } from "../service/calls.ts";
import { type CallFrame, failedCallFrame, callResultFrame } from "./call-frame.ts";
import type { CallOrder, OrderedCall, WaitingCalls } from "./call-order.ts";
import { CLOSE } from "./close-codes.ts";
import { invalid } from "./invalid.ts";
import type { BridgeLimits } from "./limits.ts";
import { ResultRoom } from "./result-room.ts";
import type { SendQueue } from "./send-queue.ts";

/** A method that sockets can call. */
export interface SocketMethod {
  /** Most bytes of a response. */
  readonly maxResponseBytes: number;
  /** @throws StreamError when the caller may not call it, whatever the request. */
  require(caller: Caller): void;
  /** Reads a request. @throws StreamError when it is not valid. */
  prepare(params: object): SocketCall;
}

/** A call whose request is valid. */
export interface SocketCall extends OrderedCall {
  /** Makes the call. @returns the response, as JSON. @throws StreamError, as a rejection. */
  run(caller: Caller): Promise<string>;
}

/** Dependencies of the calls of sockets. */
export interface SocketCallOptions {
  /** The methods, by name. */
  readonly methods: ReadonlyMap<string, SocketMethod>;
  /** Counts the results that clients have not read. */
  readonly memory: SnapshotMemory;
  readonly limits: Pick<BridgeLimits, "maxCalls" | "maxResultBytes">;
  /** Counts the calls that wait for others, over all sockets. */
  readonly waiting: WaitingCalls;
}

/** The session of calls. */
export interface CallSession {
  /** The order of its calls, over all its sockets. */
  readonly order: CallOrder;
  /**
   * Whether calls may start: the session is held by this process. A promise: that is being found
   * out.
   */
  mayStart(): boolean | Promise<boolean>;
}

/** The socket of calls. */
export interface CallSocket {
  /** The caller, with its latest credentials. */
  readonly caller: Caller;
  readonly isClosed: boolean;
  closeWith(code: number, reason: string): void;
}

/** Time after which a call that was refused for lack of room may be made again, in milliseconds. */
const RETRY_MS = 100;

/**
 * The calls of one socket: at most `maxCalls` are open. Those of one group take effect in the order
 * sent, before those of the next socket of the session.
 *
 * Once the socket is closed, nobody waits for reads. Writes that have started go on, and their results
 * are dropped. What becomes of writes that still wait for earlier calls depends on the session: if it
 * is lost, they never start, since its client may make them again on its next socket; if its client
 * has ended it, they run.
 */
export class SocketCalls {
  readonly #options: SocketCallOptions;
  readonly #socket: CallSocket;
  readonly #sendQueue: SendQueue;
  readonly #throttle: Throttle | undefined;
  readonly #open = new Set<number>();
  readonly #session: CallSession;
  /** Each ends the wait for a read that is running. */
  readonly #reads = new Set<() => void>();
  readonly #room: ResultRoom;
  #onIdle: (() => void) | undefined;
  /** Whether calls that have not started never do. */
  #isDropped = false;

  /** @param throttle Limits the rate of calls; undefined when no limit applies. */
  constructor(
    options: SocketCallOptions,
    socket: CallSocket,
    sendQueue: SendQueue,
    throttle: Throttle | undefined,
    session: CallSession,
  ) {
    this.#options = options;
    this.#session = session;
    this.#socket = socket;
    this.#sendQueue = sendQueue;
    this.#throttle = throttle;
    // The other half is for results of writes, whose size is known only when they are there.
    this.#room = new ResultRoom(options.limits.maxResultBytes / 2);
  }

  /** Whether no call is open. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** Calls back when no call is open: now, or when the last one is over. */
  whenIdle(callback: () => void): void {
    this.#onIdle = callback;
    this.#review();
  }

  /**
   * Makes a call. The handler is called before this returns, unless the call has to wait for others.
   *
   * @param bytes Approximate size of its frame.
   * @throws StreamError REQUEST_INVALID for the id of an open call: a result would be ambiguous.
   */
  receive(frame: CallFrame, bytes: number): void {
    const { id } = frame;
    if (this.#open.has(id))
      throw invalid("id", "is that of an open call", "one that no open call has");
    try {
      const method = this.#admit(frame);
      const call = method.prepare(paramsOf(frame));
      const { order } = this.#session;
      if (!order.hasRoom(call, bytes))
        throw overloaded("Too many bytes of calls wait for earlier ones of their groups");
      this.#open.add(id);
      order.run(call, bytes, this, () =>
        call.isRead ? this.#runRead(id, call, method.maxResponseBytes) : this.#run(id, call),
      );
    } catch (error) {
      this.#send(failedCallFrame(id, StreamError.from(error)));
    }
  }

  /** @throws StreamError RATE_LIMITED, OVERLOADED, REQUEST_INVALID, and those of the method. */
  #admit({ method }: CallFrame): SocketMethod {
    const { methods, limits } = this.#options;
    this.#throttle?.call();
    if (this.#open.size >= limits.maxCalls)
      throw overloaded(`The socket has ${limits.maxCalls} open calls, which is the most`);
    const known = typeof method === "string" ? methods.get(method) : undefined;
    if (known === undefined)
      throw invalid("method", "is unknown", Array.from(methods.keys()).join(", "));
    known.require(this.#socket.caller);
    return known;
  }

  async #run(id: number, call: SocketCall): Promise<void> {
    let response: Buffer;
    try {
      const mayStart = this.#session.mayStart();
      if (mayStart !== true && !((await mayStart) && !this.#isDropped)) throw new HeldElsewhere();
      const result = await call.run(this.#socket.caller);
      // Nothing that was read is delivered after the credentials have expired.
      if (call.isRead && hasExpired(this.#socket.caller)) throw expired();
      response = callResultFrame(id, result);
    } catch (error) {
      response = failedCallFrame(id, StreamError.from(error));
    }
    this.#open.delete(id);
    this.#send(response);
    this.#review();
  }

  /**
   * Runs a read once there is room for its result; not at all when the socket has closed. Resolves
   * when it is over, or the socket has closed.
   */
  #runRead(id: number, call: SocketCall, maxResponseBytes: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        this.#reads.delete(end);
        resolve();
      };
      this.#reads.add(end);
      this.#room.enter(maxResponseBytes, () => {
        const running = this.#socket.isClosed ? Promise.resolve() : this.#run(id, call);
        void running.then(() => {
          this.#room.leave(maxResponseBytes);
          end();
        });
      });
    });
  }

  /** The socket has closed. @param isOver Whether the session has ended with it. */
  close(isOver: boolean): void {
    this.#isDropped = !isOver;
    if (!isOver) this.#session.order.drop(this);
    this.#room.close();
    for (const end of this.#reads) end();
  }

  #send(frame: Buffer): void {
    if (this.#socket.isClosed) return;
    const { memory, limits } = this.#options;
    const { byteLength } = frame;
    this.#room.hold(byteLength);
    this.#sendQueue.sendResult(frame, memory, () => this.#room.release(byteLength));
    if (this.#room.unreadBytes > limits.maxResultBytes)
      this.#socket.closeWith(CLOSE.SLOW_SUBSCRIBER, "results are not read");
    // Results that other clients do not read must not keep this one out.
    else if (memory.isFull) memory.makeRoom();
  }

  #review(): void {
    if (this.#open.size > 0) return;
    const onIdle = this.#onIdle;
    this.#onIdle = undefined;
    onIdle?.();
  }
}

/** @throws StreamError REQUEST_INVALID */
function paramsOf({ method, params }: CallFrame): object {
  if (isRecord(params)) return params;
  const problem = params === undefined ? "is missing" : "is not an object";
  throw invalid("params", problem, `the request of ${String(method)} as a JSON object`);
}

function overloaded(sentence: string): StreamError {
  return new StreamError("OVERLOADED", `${sentence}; the call may be made again in a moment.`, {
    metadata: { [RETRY_AFTER_MS]: String(RETRY_MS) },
  });
}
