import { StreamError } from "../core/errors.ts";

/**
 * What became of a command that failed.
 *
 * - `unsent`: it never left this process.
 * - `busy`: the server cannot do it just now, and did nothing.
 * - `refused`: the server does not do it, and did nothing.
 * - `no_script`: the server does not know the script, and did nothing.
 * - `moved`: another server of the cluster has the keys; this one did nothing.
 * - `demoted`: the server is no master (any more), and did nothing.
 * - `lost`: it was sent, and nobody knows.
 * - `broken`: it failed in a way that should not be; it may have done something.
 */
export type RedisFailureKind =
  | "unsent"
  | "busy"
  | "refused"
  | "no_script"
  | "moved"
  | "demoted"
  | "lost"
  | "broken";

/** A command that failed. Inside only: callers get a StreamError. */
export class RedisFailure extends Error {
  override readonly name = "RedisFailure";
  readonly kind: RedisFailureKind;

  constructor(kind: RedisFailureKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }

  /** Whether it is certain that nothing happened, and the same command may succeed soon. */
  get isPassing(): boolean {
    return this.kind !== "lost" && this.kind !== "broken" && this.kind !== "refused";
  }
}

/**
 * First word of what a server says -> what it means. In each of these cases nothing was done: Redis
 * checks them before the first write of a script, and once a script has written it runs to its end.
 */
const REFUSALS: Readonly<Record<string, RedisFailureKind>> = {
  NOSCRIPT: "no_script",
  MOVED: "moved",
  ASK: "moved",
  TRYAGAIN: "moved",
  CLUSTERDOWN: "moved",
  CROSSSLOT: "broken",
  READONLY: "demoted",
  MASTERDOWN: "demoted",
  LOADING: "busy",
  BUSY: "busy",
  OOM: "refused",
  MISCONF: "refused",
  NOREPLICAS: "refused",
  NOPERM: "refused",
  NOAUTH: "refused",
  WRONGPASS: "refused",
};

/** What the driver says when it has not written a command to its connection. */
const NOT_WRITTEN = /^Stream isn't writeable/;

/** What a rejected command of a connection means. @param wasSent Whether it may have reached the server. */
export function failureOf(error: unknown, wasSent: boolean): RedisFailure {
  const message = error instanceof Error ? error.message : String(error);
  const isReply = error instanceof Error && error.name === "ReplyError";
  const isLost = wasSent && !NOT_WRITTEN.test(message);
  if (!isReply) return new RedisFailure(isLost ? "lost" : "unsent", message, error);
  const word = /^[A-Z]+/.exec(message)?.[0] ?? "";
  return new RedisFailure(REFUSALS[word] ?? "broken", message, error);
}

/** What callers get to hear of it. */
export function streamErrorOf(failure: unknown): StreamError {
  if (failure instanceof StreamError) return failure;
  if (!(failure instanceof RedisFailure)) return StreamError.from(failure);
  switch (failure.kind) {
    case "lost":
      return new StreamError(
        "OUTCOME_UNKNOWN",
        "The answer of the store was lost; the call may have taken effect, or may yet.",
        { cause: failure },
      );
    case "broken":
      return StreamError.from(failure);
    default:
      return unavailable(failure);
  }
}

/** Nothing happened, because the store cannot be reached or refuses. */
export function unavailable(cause: unknown): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    "The store cannot be reached or takes nothing at the moment; the call may be made again later.",
    { cause },
  );
}
