import type { Caller } from "../rights/caller.ts";
import type { TokenVerifier } from "../rights/jwt/token-verifier.ts";
import type { Subject } from "../rights/pattern.ts";
import type { Rights } from "../rights/rights.ts";
import type { Rule } from "../rights/rule.ts";
import { expired } from "../service/calls.ts";
import { RecentMap } from "../core/recent-map.ts";
import type { CallerRequest } from "./caller-request.ts";

/** The callers that tokens identify. */
export interface TokenCallers {
  /**
   * The caller of a token. It is verified once per connection, so a promise is returned only for
   * its first call.
   *
   * @param rightsOf The rights of a user whose token has these rules.
   * @throws StreamError AUTH_EXPIRED; AUTH_REFUSED rejects.
   */
  callerOf(
    token: string,
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
  const known = new WeakMap<object, RecentMap<string, Caller | Promise<Caller>>>();
  const tokensOf = (identity: object) => {
    let tokens = known.get(identity);
    if (tokens === undefined) {
      tokens = new RecentMap(MAX_TOKENS);
      known.set(identity, tokens);
    }
    return tokens;
  };
  return {
    callerOf(token, request, rightsOf) {
      const tokens = tokensOf(request.identity ?? {});
      const found = tokens.get(token);
      if (found !== undefined) {
        const isOver = "kind" in found && (found.expiresAtMs ?? Infinity) <= clock();
        if (isOver) throw expired();
        return found;
      }
      const verified = verifier
        .verify(token)
        .then(({ user, claims, expiresAtMs, allow }): Caller => {
          const caller: Caller = {
            kind: "user",
            author: `user:${user}`,
            user,
            context: JSON.stringify(claims),
            rights: rightsOf(allow.length === 0 ? undefined : allow, { user, claims }),
            expiresAtMs,
            connection: request.connection(),
          };
          tokens.set(token, caller);
          return caller;
        });
      tokens.set(token, verified);
      verified.catch(() => tokens.delete(token));
      return verified;
    },
  };
}
