import type { KeyEntry } from "../rights/keys.ts";
import type { JwtOptions } from "../rights/jwt/options.ts";
import type { TokenVerifier } from "../rights/jwt/token-verifier.ts";
import { readRules } from "../rights/rule.ts";
import type { CallerRules } from "./callers.ts";
import { createTokenCallers } from "./token-callers.ts";

/** What callers may do: a rule as it is written. */
export interface RuleOptions {
  /** Actions, or `*`. */
  readonly actions: readonly string[];
  /** A name, or a prefix that ends in `*`; `{user}` and `{claims.a}` stand for values. Default: any. */
  readonly stream?: string | undefined;
  /** The same for groups. Default: any. */
  readonly group?: string | undefined;
  /** The same for items. Default: any. */
  readonly item?: string | undefined;
}

/** A key of a service. */
export interface KeyOptions extends Omit<KeyEntry, "allow"> {
  /** What callers with the key may do. Default: everything. */
  readonly allow?: readonly RuleOptions[] | undefined;
}

/** Keys, tokens and rights of callers. */
export interface AuthOptions {
  /** Keys of services. */
  readonly keys?: readonly KeyOptions[] | undefined;
  /** Issuers whose tokens make callers users. */
  readonly jwt?: readonly JwtOptions[] | undefined;
  /** What users may do. */
  readonly rules?: readonly RuleOptions[] | undefined;
  /** What anonymous callers may do. */
  readonly anonymous?: readonly RuleOptions[] | undefined;
  /** Whether callers on this machine are trusted although keys or tokens are configured. */
  readonly local?: boolean | undefined;
}

/** The rules of callers in these options. @throws SettingError */
export async function callerRules(
  {
    auth = {},
    apiTokens = [],
    insecure = false,
  }: {
    readonly auth?: AuthOptions | undefined;
    readonly apiTokens?: readonly string[] | undefined;
    readonly insecure?: boolean | undefined;
  },
  onProblem: (sentence: string) => void,
): Promise<Omit<CallerRules, "allowsOrigin" | "authenticate">> {
  const keys = (auth.keys ?? []).map((each, index): KeyEntry => ({
    ...each,
    allow: each.allow && readRules(each.allow, `auth.keys[${index}].allow`),
  }));
  return {
    keys,
    apiTokens,
    tokens:
      auth.jwt === undefined || auth.jwt.length === 0
        ? undefined
        : createTokenCallers(await verifierOf(auth.jwt, onProblem)),
    users: auth.rules && readRules(auth.rules, "auth.rules"),
    anonymous: auth.anonymous && readRules(auth.anonymous, "auth.anonymous"),
    local: auth.local ?? false,
    insecure,
  };
}

/** Loaded only when it is needed: it is large. */
async function verifierOf(
  issuers: readonly JwtOptions[],
  onProblem: (sentence: string) => void,
): Promise<TokenVerifier> {
  const { createTokenVerifier } = await import("../rights/jwt/token-verifier.ts");
  return createTokenVerifier(issuers, { clock: Date.now, onProblem });
}
