import type { Connected } from "../core/connection.ts";
import type { Throttle } from "../limits/throttle.ts";
import type { Caller } from "../rights/caller.ts";
import type { Require } from "../service/calls.ts";
import type { Handlers } from "../service/handlers.ts";
import type { ExpiryOptions } from "./expiry.ts";
import type { BridgeLimits } from "./limits.ts";
import type { OutletSocket } from "./send-queue.ts";
import type { SocketSessions } from "./sessions.ts";
import type { SocketCallOptions } from "./socket-calls.ts";

/** The socket as a session sees it. */
export interface SessionSocket extends OutletSocket {
  close(code: number, reason: string): void;
  /** Called when the client has said hello: it may send calls. */
  onHello(caller: Caller): void;
  /**
   * Counts a frame that is no call, once the client has said hello: calls have rates of their own.
   *
   * @returns Whether it is within the limits; otherwise the socket closes.
   */
  admitFrame(): boolean;
  /** A new throttle of its calls; undefined when no limit applies. */
  callThrottle(): Throttle | undefined;
  /** Notices the loss of its connection within the time that a session outlives one. */
  pingOften(): void;
  /** Stops to read frames. Those that have arrived still come. */
  pause(): void;
  /** Reads frames again. */
  resume(): void;
}

/** Dependencies of sessions: one object for all of them. */
export interface SessionOptions extends ExpiryOptions {
  readonly handlers: Handlers;
  /** The calls of sockets. */
  readonly calls: Omit<SocketCallOptions, "limits">;
  readonly sessions: SocketSessions;
  /** The caller, once it has a session: with the connection of that. */
  readonly continued: (caller: Caller, connection: Connected) => Caller;
  readonly limits: BridgeLimits;
  /** The decision about rights. */
  readonly require: Require;
}
