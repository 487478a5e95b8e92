import type { Caller } from "../rights/caller.ts";
import { expired } from "../service/calls.ts";
import type { Moments } from "../timers/moments.ts";

/** The end of a streaming call by the service. */
export interface CallEnd {
  /** Aborted when the call has to end; its reason is the error of the call. */
  readonly signal: AbortSignal;
  /** To be called when the call has ended. Idempotent. */
  release(): void;
}

/**
 * Ends a streaming call when the credentials of its caller expire, or earlier.
 *
 * @param earlier Aborted when the call has to end anyway, with the error of the call.
 * @param expiries The deadlines of all calls of this kind.
 */
export function callEnd(earlier: AbortSignal, { expiresAtMs }: Caller, expiries: Moments): CallEnd {
  if (expiresAtMs === undefined) return { signal: earlier, release: () => {} };
  const end = new AbortController();
  const endEarlier = () => end.abort(earlier.reason);
  if (earlier.aborted) endEarlier();
  else earlier.addEventListener("abort", endEarlier, { once: true });
  const expiry = expiries.at(expiresAtMs, () => end.abort(expired()));
  return {
    signal: end.signal,
    release() {
      earlier.removeEventListener("abort", endEarlier);
      expiry.cancel();
    },
  };
}
