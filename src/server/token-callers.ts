import type { Caller } from "../rights/caller.ts";
import type { TokenVerifier } from "../rights/jwt/token-verifier.ts";
import type { Subject } from "../rights/pattern.ts";
import type { Rights } from "../rights/rights.ts";
import type { Rule } from "../rights/rule.ts";
import { expired } from "../service/calls.ts";
import { RecentMap } from "../core/recent-map.ts";
import type { CallerRequest, Finding } from "./caller-request.ts";

/** The callers that tokens identify. */
export interface TokenCallers {
  /** The finding for a header that presented a token on this connection before. */
  known(authorization: string, identity: object): Finding | undefined;
  /**
   * The caller of a token. It is verified once per connection, so a promise is returned only for
   * its first call.
   *
   * @param authorization The header that presents it.
   * @param rightsOf The rights of a user whose token has these rules.
   * @throws StreamError AUTH_EXPIRED, AUTH_REFUSED
   */
  callerOf(
    token: string,
    authorization: string,
    request: CallerRequest,
    rightsOf: (allow: readonly Rule[] | undefined, subject: Subject) => Rights,
  ): Caller | Promise<Caller>;
}

/** Tokens that are remembered for a connection: a proxy may send those of many users over one. */
const MAX_TOKENS = 1000;

/** @param clock Wall clock, Unix milliseconds. */
export function createTokenCallers(
  verifier: TokenVerifier,
  clock: () => number = Date.now,
): TokenCallers {
  /** Findings by connection and header: those of tokens that were verified, or are being verified. */
  const known = new WeakMap<object, RecentMap<string, Finding>>();
  const findingOf = (caller: UserOfToken): Finding => ({
    isTrusted: false,
    resolve: (request) => callerFor(caller, request, clock()),
  });
  return {
    known: (authorization, identity) => known.get(identity)?.get(authorization),
    callerOf(token, authorization, request, rightsOf) {
      const verified = verifier
        .verify(token)
        .then(({ user, claims, expiresAtMs, acceptedUntilMs, allow }): UserOfToken => {
          const lasting: Caller = {
            kind: "user",
            author: `user:${user}`,
            user,
            context: JSON.stringify(claims),
            rights: rightsOf(allow, { user, claims }),
            expiresAtMs,
            connection: request.connection(),
          };
          const isLenient = acceptedUntilMs > expiresAtMs;
          const calling = isLenient ? { ...lasting, expiresAtMs: acceptedUntilMs } : lasting;
          const caller = { lasting, calling };
          tokens.set(authorization, findingOf(caller));
          return caller;
        });
      verified.catch(() => tokens.delete(authorization));
      const identity = request.identity ?? {};
      const tokens = known.get(identity) ?? new RecentMap<string, Finding>(MAX_TOKENS);
      known.set(identity, tokens);
      const resolve = async (each: CallerRequest) => callerFor(await verified, each, clock());
      tokens.set(authorization, { isTrusted: false, resolve });
      return resolve(request);
    },
  };
}

/** The user of a token, as the caller of what it opens. */
interface UserOfToken {
  /** Of what lasts: it ends when the token expires. */
  readonly lasting: Caller;
  /** Of single calls: they are accepted for as long as the leeway lasts. */
  readonly calling: Caller;
}

/** The caller of a request. @throws StreamError AUTH_EXPIRED */
function callerFor(
  { lasting, calling }: UserOfToken,
  { staysOpen }: CallerRequest,
  nowMs: number,
): Caller {
  const caller = staysOpen ? lasting : calling;
  if ((caller.expiresAtMs ?? Infinity) <= nowMs) throw expired();
  return caller;
}
