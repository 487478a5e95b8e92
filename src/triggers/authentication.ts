import type { AuthRequest } from "../core/auth.ts";
import { MAX_NAME_BYTES } from "../core/names.ts";
import { utf8Length } from "../core/text.ts";
import { type AskContext, GateRefusal, fieldsOf, refusing, unreachable } from "./ask-gates.ts";
import { type Fields, kindOf } from "./gate-answer.ts";

/** A caller that `auth_function` accepted. Without an `auth_function`, nothing is known about it. */
export interface AuthenticatedCaller<Allow = unknown> {
  /** Id of the user, 1 to 256 bytes of UTF-8; undefined when `auth_function` named none. */
  readonly user: string | undefined;
  /** Context of the caller: JSON text of up to 64 KiB; `null` when there is none. */
  readonly context: string;
  /** When its rights end, in Unix milliseconds, in the future; undefined: never. */
  readonly expiresAtMs: number | undefined;
  /** Its rights, as read by the `readAllow` of the call; undefined when the result has none. */
  readonly allow: Allow | undefined;
}

/** Largest context of a caller, in characters of JSON text: it is kept while the socket is open. */
const MAX_CONTEXT_CHARS = 64 * 1024;

/** Every caller, as long as there is no `auth_function`. */
const UNKNOWN_CALLER: AuthenticatedCaller<never> = Object.freeze({
  user: undefined,
  context: "null",
  expiresAtMs: undefined,
  allow: undefined,
});

/**
 * Identifies a caller. Its errors refuse the caller.
 *
 * @param readAllow Validates `allow`, which is neither undefined nor null.
 * @throws StreamError AUTH_REFUSED
 */
export type Authenticate = <Allow>(
  request: AuthRequest,
  readAllow: (allow: unknown) => Allow,
) => Promise<AuthenticatedCaller<Allow>>;

/** @param clock Unix milliseconds. */
export function authentication(
  { call, registry, timeoutMs, onRefused }: AskContext,
  authFunction: string | undefined,
  clock: () => number,
): Authenticate {
  const refuse = refusing(
    onRefused,
    "auth_refused",
    "AUTH_REFUSED",
    "The caller was refused by the service's auth_function; it may come with credentials that it accepts.",
  );
  return async (request, readAllow) => {
    if (authFunction === undefined) return UNKNOWN_CALLER;
    try {
      if (!registry.isCurrent()) throw unreachable();
      const fields = fieldsOf(await call(authFunction, JSON.stringify(request), { timeoutMs }));
      return callerOf(fields, readAllow, clock());
    } catch (error) {
      return refuse(authFunction, GateRefusal.from(error));
    }
  };
}

/** Reads what an allowing `auth_function` returned. @throws GateRefusal */
function callerOf<Allow>(
  fields: Fields | undefined,
  readAllow: (allow: unknown) => Allow,
  nowMs: number,
): AuthenticatedCaller<Allow> {
  if (fields === undefined) throw new GateRefusal("it returned nothing; it may return an object");
  const context = JSON.stringify(fields["context"] ?? null);
  if (context.length > MAX_CONTEXT_CHARS)
    throw new GateRefusal(`its context has more than ${MAX_CONTEXT_CHARS} characters`);
  return {
    user: userOf(fields["user"] ?? undefined),
    context,
    expiresAtMs: expiryOf(fields["expires_at"] ?? undefined, nowMs),
    allow: allowOf(fields["allow"] ?? undefined, readAllow),
  };
}

function userOf(user: unknown): string | undefined {
  if (user === undefined) return undefined;
  if (typeof user !== "string")
    throw new GateRefusal(`its user is ${kindOf(user)}; it may be a string or absent`);
  if (user !== "" && user.isWellFormed() && utf8Length(user) <= MAX_NAME_BYTES) return user;
  const problem =
    user === "" ? "is empty" : user.isWellFormed() ? "is too long" : "is not valid Unicode";
  throw new GateRefusal(`its user ${problem}; it may be 1 to ${MAX_NAME_BYTES} bytes of UTF-8`);
}

function expiryOf(expiresAt: unknown, nowMs: number): number | undefined {
  if (expiresAt === undefined) return undefined;
  if (typeof expiresAt !== "number" || !Number.isSafeInteger(expiresAt) || expiresAt <= 0) {
    const problem = typeof expiresAt === "number" ? "is out of range" : `is ${kindOf(expiresAt)}`;
    throw new GateRefusal(
      `its expires_at ${problem}; it may be a positive integer, in Unix milliseconds, or absent`,
    );
  }
  if (expiresAt > nowMs) return expiresAt;
  throw new GateRefusal("its expires_at is in the past; it may be in the future, or absent");
}

function allowOf<Allow>(allow: unknown, readAllow: (allow: unknown) => Allow): Allow | undefined {
  if (allow === undefined) return undefined;
  try {
    return readAllow(allow);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new GateRefusal(why.replace(/\.$/, ""));
  }
}
