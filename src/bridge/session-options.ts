import type { Require } from "../service/calls.ts";
import type { Handlers } from "../service/handlers.ts";
import type { ExpiryOptions } from "./expiry.ts";
import type { BridgeLimits } from "./limits.ts";
import type { OutletSocket } from "./send-queue.ts";

/** The socket as a session sees it. */
export interface SessionSocket extends OutletSocket {
  close(code: number, reason: string): void;
}

/** Dependencies of sessions: one object for all of them. */
export interface SessionOptions extends ExpiryOptions {
  readonly handlers: Handlers;
  readonly limits: BridgeLimits;
  /** The decision about rights. */
  readonly require: Require;
}
