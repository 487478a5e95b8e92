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
   * @throws StreamError AUTH_EXPIRED; AUTH_REFUSED rejects.
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
  const findingOf = (caller: Caller): Finding => ({
    isTrusted: false,
    resolve() {
      if ((caller.expiresAtMs ?? Infinity) <= clock()) throw expired();
      return caller;
    },
  });
  return {
    known: (authorization, identity) => known.get(identity)?.get(authorization),
    callerOf(token, authorization, request, rightsOf) {
      const verified = verifier
        .verify(token)
        .then(({ user, claims, expiresAtMs, allow }): Caller => {
          const caller: Caller = {
            kind: "user",
            author: `user:${user}`,
            user,
            context: JSON.stringify(claims),
            rights: rightsOf(allow, { user, claims }),
            expiresAtMs,
            connection: request.connection(),
          };
          tokens.set(authorization, findingOf(caller));
          return caller;
        });
      verified.catch(() => tokens.delete(authorization));
      const identity = request.identity ?? {};
      const tokens = known.get(identity) ?? new RecentMap<string, Finding>(MAX_TOKENS);
      known.set(identity, tokens);
      tokens.set(authorization, { isTrusted: false, resolve: () => verified });
      return verified;
    },
  };
}
