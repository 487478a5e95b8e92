import { type RuleHolder, doubtsAbout } from "../../rights/doubts.ts";
import { doubtsAboutJwt } from "../../rights/jwt/options.ts";
import { readRules } from "../../rights/rule.ts";
import { jwtOptionsOf } from "./auth-section.ts";
import { HIDDEN } from "./discretion.ts";
import type { Config } from "./schema.ts";
import type { KeyPath } from "./tree.ts";

/** A sentence about a setting that is valid but probably not meant. */
export interface Doubt {
  /** The setting, or its entry. */
  readonly path: KeyPath;
  /** Begins with the name of the setting. */
  readonly sentence: string;
}

/**
 * Warnings about keys, tokens and rights.
 *
 * @param isHidden Whether a value came from a placeholder, so that no sentence may show it.
 */
export function doubtsAboutAuth(config: Config, isHidden: (path: KeyPath) => boolean): Doubt[] {
  const { auth, auth_function: authFunction } = config;
  const ofRules = (rules: unknown, path: KeyPath, place: string, holder: RuleHolder): Doubt[] =>
    readRules(rules ?? [], place).flatMap((rule, index) => {
      const here = [...path, index];
      const shown = (sentence: string) =>
        (["stream", "group", "item"] as const).reduce(
          (text, part) =>
            isHidden([...here, part])
              ? text.replace(`.${part} is ${rule[part].text},`, `.${part} is ${HIDDEN},`)
              : text,
          sentence,
        );
      return doubtsAbout(rule, holder).map((doubt) => ({ path: here, sentence: shown(doubt) }));
    });
  const doubts = [
    ...auth.keys.flatMap(({ allow }, index) =>
      ofRules(allow, ["auth", "keys", index, "allow"], `auth.keys[${index}].allow`, "key"),
    ),
    ...auth.jwt.flatMap((entry, index) =>
      doubtsAboutJwt(jwtOptionsOf(entry, undefined), `auth.jwt[${index}]`).map(
        (sentence): Doubt => ({ path: ["auth", "jwt", index], sentence }),
      ),
    ),
    ...ofRules(auth.rules, ["auth", "rules"], "auth.rules", "users"),
    ...ofRules(auth.anonymous, ["auth", "anonymous"], "auth.anonymous", "anonymous"),
  ];
  if (auth.rules !== undefined && auth.jwt.length === 0 && authFunction === undefined) {
    doubts.push({
      path: ["auth", "rules"],
      sentence:
        "auth.rules has no effect, because no caller becomes a user: neither auth.jwt nor auth_function is set.",
    });
  }
  if (auth.anonymous !== undefined && authFunction !== undefined) {
    doubts.push({
      path: ["auth", "anonymous"],
      sentence:
        "auth.anonymous has no effect, because auth_function makes every caller without a key or token a user.",
    });
  }
  return doubts;
}
