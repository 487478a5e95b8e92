import type { DescMethod } from "@bufbuild/protobuf";
import type { Throttle } from "../limits/throttle.ts";
import type { OpenAccount } from "../limits/untrusted-bodies.ts";
import type { SubscribeRequest } from "../service/requests.ts";

/** What the server knows about the transport of a call. */
export interface CallTransport {
  /**
   * Throws to refuse a caller that may not make the call or exceeds its rate.
   *
   * @returns Throttles the requests within the call; undefined when no limit applies.
   */
  readonly permit: (method: DescMethod) => Throttle | undefined;
  /**
   * Opens an account that limits a body; undefined for trusted callers, whose bodies only the
   * budget limits.
   */
  readonly untrustedBodies: () => OpenAccount | undefined;
  /** Aborts the connection or stream. */
  readonly abort: () => void;
  /**
   * The caller as a subscriber: what `auth_function` receives, and the address that it counts
   * towards.
   */
  readonly subscriber: () => Pick<SubscribeRequest, "auth" | "address">;
}
