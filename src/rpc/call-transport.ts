import type { DescMethod } from "@bufbuild/protobuf";
import type { Throttle } from "../limits/throttle.ts";
import type { OpenAccount } from "../limits/untrusted-bodies.ts";
import type { Caller } from "../rights/caller.ts";

/** What the server knows about the transport of a call. */
export interface CallTransport {
  /**
   * Lets a call in, before its body is read.
   *
   * @throws StreamError for a caller that may not make the call or exceeds its rate.
   */
  enter(method: DescMethod): EnteredCall;
  /** Aborts the connection or stream. */
  abort(): void;
  /** The address that the caller's subscriptions count towards. */
  address(): string | undefined;
}

/** A call that was let in. */
export interface EnteredCall {
  /**
   * Its caller. A promise while its credentials are verified: it rejects when the caller may not
   * make the call.
   */
  readonly caller: Caller | Promise<Caller>;
  /** Throttles the requests within the call; undefined when no limit applies. */
  readonly throttle: Throttle | undefined;
  /**
   * Opens an account that limits a body; undefined for trusted callers, whose bodies only the
   * budget limits.
   */
  readonly openAccount: OpenAccount | undefined;
}
