import { StreamError } from "../core/errors.ts";

/**
 * The outcome of a failed command.
 *
 * - `unsent`: it never left this process.
 * - `busy`: the server cannot run it at the moment, and did nothing.
 * - `refused`: the server refuses it, and did nothing.
 * - `no_script`: the server does not know the script, and did nothing.
 * - `moved`: another server of the cluster has the keys; this one did nothing.
 * - `demoted`: the server is not, or no longer, a master, and did nothing.
 * - `lost`: it was sent, and its outcome is unknown.
 * - `broken`: it failed unexpectedly, and may have done something.
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

/** A command that failed. Internal: callers get a StreamError. */
export class RedisFailure extends Error {
  override readonly name = "RedisFailure";
  readonly kind: RedisFailureKind;

  constructor(kind: RedisFailureKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }

  /** Whether nothing happened for certain, and the same command may succeed soon. */
  get isPassing(): boolean {
    return this.kind !== "lost" && this.kind !== "broken" && this.kind !== "refused";
  }
}

/**
 * First word of an error reply -> its kind. In each of these cases nothing was done: Redis checks
 * them before the first write of a script, and once a script has written it runs to its end.
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

/** The driver's error when it has not written a command to its connection. */
const NOT_WRITTEN = /^Stream isn't writeable/;

/** Classifies a rejected command. @param wasSent Whether it may have reached the server. */
export function failureOf(error: unknown, wasSent: boolean): RedisFailure {
  const message = error instanceof Error ? error.message : String(error);
  const isReply = error instanceof Error && error.name === "ReplyError";
  const isLost = wasSent && !NOT_WRITTEN.test(message);
  if (!isReply) return new RedisFailure(isLost ? "lost" : "unsent", message, error);
  const word = /^[A-Z]+/.exec(message)?.[0] ?? "";
  return new RedisFailure(REFUSALS[word] ?? "broken", message, error);
}

/** The error that callers get. */
export function streamErrorOf(failure: unknown): StreamError {
  if (failure instanceof StreamError) return failure;
  if (!(failure instanceof RedisFailure)) return StreamError.from(failure);
  switch (failure.kind) {
    case "lost":
      return new StreamError(
        "OUTCOME_UNKNOWN",
        "The reply of the store was lost; the call may have taken effect, or may yet.",
        { cause: failure },
      );
    case "broken":
      return StreamError.from(failure);
    default:
      return unavailable(failure);
  }
}

/** The error when nothing happened, because the store is unreachable or refuses. */
export function unavailable(cause: unknown): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    "The store is unreachable or accepts nothing at the moment; the call may be made again later.",
    { cause },
  );
}
