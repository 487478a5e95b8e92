import * as z from "zod";
import { ACTIONS } from "../../rights/action.ts";
import { JWT_ALGORITHMS, type JwtAlgorithm } from "../../rights/jwt/algorithms.ts";
import { DEFAULT_USER_CLAIM, type JwtOptions, checkJwtForm } from "../../rights/jwt/options.ts";
import { keyRing } from "../../rights/keys.ts";
import { RuleError, readRules } from "../../rights/rule.ts";
import { SettingError } from "../../rights/setting-error.ts";
import {
  type SectionsProblem,
  choice,
  duration,
  list,
  sections,
  textKey,
  texts,
  toggle,
} from "./key-types.ts";
import { pathOf } from "./tree.ts";

const ALGORITHMS = Object.keys(JWT_ALGORITHMS) as JwtAlgorithm[];

const PATTERN_MAY =
  "a name, or the beginning of names and a star (`chat-*`), in which `{user}`, `{claims.NAME}` and `{context.NAME}` stand for values of the caller";

const pattern = (description: string) =>
  textKey(/[^]/, PATTERN_MAY, description, { absent: "any" }).optional();

const RULE = {
  actions: list(
    choice([...ACTIONS, "*"], "An action."),
    "What the rule allows. A star is every action, and so is `work`.",
  ),
  stream: pattern("The streams that the rule is for."),
  group: pattern("The groups that the rule is for."),
  item: pattern(
    "The items that the rule is for. Calls about a whole group need a rule without it.",
  ),
};

const rules = (description: string, absent: string) =>
  sections(RULE, description, rulesWith, { absent }).optional();

const KEY = {
  name: textKey(
    /^(?!.*\p{Cc}).{1,256}$/su,
    "a name of up to 256 characters without control characters",
    "Name of the key in logs, and in the author of what its callers write (`key:NAME`). A key and its successor may share it.",
  ),
  // A caller sends it in a header after "Bearer", so it is limited to ASCII without spaces.
  key: textKey(
    /^[\x21-\x7e]+$/,
    "text without spaces, in ASCII, such as `millrace key` prints",
    "The key.",
    { secret: true, absent: "`key_sha256` is set" },
  ).optional(),
  key_sha256: textKey(
    /^[\da-fA-F]{64}$/,
    "64 hexadecimal digits, such as `millrace key` prints",
    "SHA-256 of the key, in the place of the key.",
    { secret: true, absent: "`key` is set" },
  ).optional(),
  allow: rules("What callers with the key may do, as in `auth.rules`.", "everything"),
};

const claim = (description: string) =>
  textKey(/[^]/, "the path of a claim, such as sub or app.user_id", description);

const JWT = {
  issuer: textKey(/[^]/, "text", "Claim `iss` that tokens must have.", {
    absent: "any",
  }).optional(),
  audience: texts("Claim `aud` that tokens must have: one of these.", { absent: "any" }).optional(),
  algorithms: list(
    choice(ALGORITHMS, "An algorithm."),
    "Algorithms that tokens may be signed with. HS needs `secret`, the others a public key.",
  ),
  jwks_url: textKey(
    /^https?:\/\/\S+$/,
    "a URL of https or http",
    "URL of the issuer's public keys (JWKS).",
    { absent: "none" },
  ).optional(),
  public_key_file: textKey(
    /^[^\0]+$/,
    "the path of a file in PEM",
    "File with the issuer's public key or certificate; relative to the working directory, read at the start.",
    { absent: "none" },
  ).optional(),
  secret: textKey(
    /[^]/,
    "text of at least 32 bytes for HS256, 48 for HS384, 64 for HS512",
    "Secret that is shared with the issuer.",
    { secret: true, absent: "none" },
  ).optional(),
  user: claim("Claim with the id of the user.").prefault(DEFAULT_USER_CLAIM),
  user_prefix: textKey(
    /[^]/,
    "text",
    "Text before the id, so that users of several issuers differ.",
    { absent: "none" },
  ).optional(),
  allow_claim: textKey(
    /[^]/,
    "the path of a claim, such as millrace",
    "Claim with more rules for the user, as in `auth.rules`.",
    { absent: "none" },
  ).optional(),
  leeway: duration(
    "0s",
    "10m",
    "How far the clocks of issuer and service may differ when a token is presented. For this time after `exp`, single calls are still accepted; everything that stays open ends at `exp` itself.",
  ).prefault("0s"),
};

const RULE_SECTION = z.strictObject(RULE);
const KEY_SECTION = z.strictObject(KEY);
// In a list without mistakes, durations are in milliseconds already when it is checked as a whole.
const JWT_SECTION = z.strictObject({ ...JWT, leeway: z.union([z.int(), JWT.leeway]) });

/** The section `auth`: keys, tokens and rights of callers. */
export const AUTH = z
  .strictObject({
    keys: sections(
      KEY,
      "Keys of the operator's own programs. With any, callers from this machine need one too.",
      keysWith,
    ).prefault([]),
    jwt: sections(
      JWT,
      "Issuers whose tokens (JWT) make callers users. Each has exactly one of `jwks_url`, `public_key_file` and `secret`.",
      jwtWith,
    ).prefault([]),
    rules: rules("What users may do; at most 1,000 rules.", "to subscribe, and nothing else"),
    anonymous: rules(
      "What callers without credentials may do.",
      "to subscribe, or nothing when `auth.rules` is set",
    ),
    local: toggle(
      "Whether callers from this machine are trusted although keys or tokens are configured.",
    ).prefault(false),
  })
  .prefault({});

type JwtSection = z.output<typeof JWT_SECTION>;

/** The options of an entry of `auth.jwt`. @param publicKey Content of its file. */
export function jwtOptionsOf(section: JwtSection, publicKey: string | undefined): JwtOptions {
  const { issuer, audience, algorithms, jwks_url: jwksUrl, secret, user } = section;
  const { user_prefix: userPrefix, allow_claim: allowClaim, leeway: leewayMs } = section;
  return {
    ...{ issuer, audience, algorithms, jwksUrl, publicKey, secret, user },
    ...{ userPrefix, allowClaim, leewayMs },
  };
}

/** An entry of `auth.jwt` as written; undefined when it has mistakes. */
export function jwtSectionOf(input: unknown): JwtSection | undefined {
  return JWT_SECTION.safeParse(input).data;
}

/** A mistake in `auth` as a problem of the configuration. @param place The list that it is in. */
export function problemOf(error: SettingError, place: string): SectionsProblem {
  const path = pathOf(error.place.slice(place.length));
  const isAboutPattern = error instanceof RuleError && /\.(?:stream|group|item)$/.test(error.place);
  return {
    path,
    complaint: error.message.slice(error.place.length + 1).replace(/\.$/, ""),
    // The sentence may show a piece of the pattern.
    ...(isAboutPattern && { discreet: `it may be ${PATTERN_MAY}` }),
  };
}

function rulesWith(found: readonly unknown[]): SectionsProblem[] {
  return mistakesIn(found, RULE_SECTION, "rules", readRules);
}

function keysWith(found: readonly unknown[]): SectionsProblem[] {
  return mistakesIn(found, KEY_SECTION, "auth.keys", (keys) =>
    keyRing(keys.map(({ name, key, key_sha256: keySha256 }) => ({ name, key, keySha256 }))),
  );
}

function jwtWith(found: readonly unknown[]): SectionsProblem[] {
  return mistakesIn(found, JWT_SECTION, "auth.jwt", (entries, place) => {
    for (const [index, entry] of entries.entries())
      checkJwtForm(jwtOptionsOf(entry, entry.public_key_file), `${place}[${index}]`);
  });
}

/**
 * The mistakes that a check finds: at most one for each section whose keys are valid. Otherwise, the
 * one that it finds in the list as a whole.
 */
function mistakesIn<Section>(
  found: readonly unknown[],
  type: z.ZodType<Section>,
  place: string,
  check: (sections: readonly Section[], place: string) => unknown,
): SectionsProblem[] {
  const parsed = found.map((section) => type.safeParse(section));
  const mistakesOf = (given: readonly Section[]): SectionsProblem[] => {
    try {
      check(given, place);
      return [];
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      return [problemOf(error, place)];
    }
  };
  const own = parsed.flatMap(({ success, data }, index) => {
    const moved = ({ path, ...rest }: SectionsProblem) => ({
      ...rest,
      path: [index, ...path.slice(1)],
    });
    return success ? mistakesOf([data]).map(moved) : [];
  });
  const isWhole = own.length === 0 && parsed.every(({ success }) => success);
  return isWhole ? mistakesOf(parsed.map(({ data }) => data as Section)) : own;
}
