import { StreamError } from "../core/errors.ts";
import type { Caller } from "../rights/caller.ts";
import type { Admission } from "../service/handlers.ts";
import type { CallFrame } from "./call-frame.ts";
import { CLOSE } from "./close-codes.ts";
import type { Expiry } from "./expiry.ts";
import { invalid } from "./invalid.ts";
import { tokenFrame, welcomeFrame } from "./notice-frame.ts";
import type { SendQueue } from "./send-queue.ts";
import { errorFrame } from "./server-frame.ts";
import type { SessionOptions, SessionSocket } from "./session-options.ts";
import { type CallSocket, SocketCalls } from "./socket-calls.ts";
import type { SessionHolder, SocketSession } from "./socket-session.ts";

/** The socket of a client that has said hello. */
export interface HelloOwner extends SessionHolder, CallSocket {
  /** Receives a frame of the client. */
  receive(text: string | undefined): void;
  /** The same caller, with the connection id of the session that it continues, or with other rights. */
  changeCaller(caller: Caller): void;
  /** Responds to a frame of the client. */
  reply(frame: Buffer): void;
  /** Responds to a frame that is refused. */
  refuseFrame(error: StreamError): void;
}

/** How long calls may take to finish when the service shuts down, in milliseconds. */
const CALLS_GRACE_MS = 4000;

/**
 * What the socket of a client that has said hello has beside its subscriptions: a session, and
 * calls. Sockets of other clients have none, and pay nothing for it.
 */
export class Hello {
  readonly #options: SessionOptions;
  readonly #owner: HelloOwner;
  readonly #socket: SessionSocket;
  readonly #sendQueue: SendQueue;
  #session: SocketSession | undefined;
  /** Whether its client has ended it, maybe before it was taken up. */
  #isOver = false;
  #calls: SocketCalls | undefined;
  /** Frames that came before the welcome: few, since the socket is paused. */
  #early: (string | undefined)[] | undefined = [];

  constructor(
    options: SessionOptions,
    owner: HelloOwner,
    socket: SessionSocket,
    sendQueue: SendQueue,
  ) {
    this.#options = options;
    this.#owner = owner;
    this.#socket = socket;
    this.#sendQueue = sendQueue;
    socket.onHello(owner.caller);
  }

  /** The session, once there is one. */
  get session(): SocketSession | undefined {
    return this.#session;
  }

  /** Keeps a frame for later while the client has no welcome. @returns Whether it did. */
  keeps(text: string | undefined): boolean {
    return this.#early !== undefined && this.#early.push(text) > 0;
  }

  /**
   * Takes up the session of the client, or begins one, before its next frame is read.
   *
   * @param secret Of the session to take up. Never rejects.
   */
  async greet(secret: string | undefined): Promise<void> {
    const owner = this.#owner;
    const { sessions, continued, limits } = this.#options;
    this.#socket.pause();
    try {
      const greeted = await sessions.greet(secret, owner);
      const { session, resumed } = greeted;
      this.#session = session;
      session.connection.holdBy({
        onBound: () => this.#socket.pingOften(),
        onLapse: () => owner.closeWith(CLOSE.TRY_AGAIN_LATER, "the session may have ended"),
      });
      // Nobody knows a new one.
      if (owner.isClosed) return resumed && !this.#isOver ? session.lose() : session.end();
      owner.changeCaller(continued(owner.caller, session.connection));
      owner.reply(welcomeFrame(greeted, owner.caller, limits.pingIntervalMs));
    } catch (error) {
      owner.reply(errorFrame(StreamError.from(error), undefined, undefined));
      owner.closeWith(CLOSE.TRY_AGAIN_LATER, "the session cannot be looked up now");
    }
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#socket.resume();
    for (const text of early) owner.receive(text);
  }

  /**
   * Renews the credentials of the caller.
   *
   * @throws StreamError when it cannot renew them.
   */
  renew(token: string, expiry: Expiry | undefined): void {
    const owner = this.#owner;
    if (expiry === undefined)
      throw invalid("token", "is not needed: the credentials do not expire", "absent");
    expiry.renew(token, owner.caller).then(
      (caller) => {
        if (owner.isClosed) return;
        owner.changeCaller(caller);
        this.#socket.onHello(caller);
        owner.reply(tokenFrame(caller.expiresAtMs));
        this.#sendQueue.wake();
      },
      (error: unknown) => owner.refuseFrame(StreamError.from(error)),
    );
  }

  /** Makes a call. @throws StreamError as SocketCalls.receive */
  call(frame: CallFrame, bytes: number): void {
    const session = this.#session;
    // It has closed before its welcome.
    if (session === undefined) return;
    this.#calls ??= this.#beginCalls(session);
    this.#calls.receive(frame, bytes);
  }

  /** Calls back when the open calls have their results, or the grace period of a shutdown ends. */
  whenIdle(callback: () => void): void {
    if (this.#calls === undefined || this.#calls.isIdle) return callback();
    this.#calls.whenIdle(callback);
    setTimeout(callback, CALLS_GRACE_MS).unref();
  }

  /**
   * Releases the admission of a subscription when the socket has closed: its join can be made again
   * while the session lasts, unless it was ended.
   */
  part(admission: Admission): void {
    if (this.#session === undefined || admission.ended !== undefined) admission.leave();
    else this.#session.suspend(admission.suspend());
  }

  /** The socket has closed. @param isOver Whether the session has ended, too; otherwise it is lost. */
  close(isOver: boolean): void {
    this.#isOver = isOver;
    this.#calls?.close(isOver);
    if (isOver) this.#session?.end();
    else this.#session?.lose();
  }

  #beginCalls(session: SocketSession): SocketCalls {
    const { calls, limits } = this.#options;
    const throttle = this.#socket.callThrottle();
    const options = { ...calls, limits };
    return new SocketCalls(options, this.#owner, this.#sendQueue, throttle, session);
  }
}
