import type { RE2JS } from "re2js";
import type { Fuel } from "./fuel.ts";
import { schemaLibraries } from "./schema-libraries.ts";

/** A compiled pattern. */
export interface LinearPattern {
  /** @throws OutOfFuel */
  test(text: string): boolean;
  /** Identifies it among all patterns. */
  toString(): string;
}

/**
 * Compiles a pattern that is matched in time linear in the text. It has the syntax of JavaScript
 * without look-around and backreferences, which cannot be matched in linear time.
 *
 * @throws SyntaxError with the reason as a clause.
 */
export function linearPattern(pattern: string, fuel: Fuel, ignoresCase = false): LinearPattern {
  const compiled = compile(pattern, ignoresCase);
  const states = compiled.programSize();
  return {
    test(text) {
      fuel.burnMatching(text.length * states);
      return compiled.test(text);
    },
    toString: () => `/${pattern}/${ignoresCase ? "i" : ""}`,
  };
}

function compile(pattern: string, ignoresCase: boolean): RE2JS {
  const { RE2JS } = schemaLibraries().re2;
  try {
    const flags = ignoresCase ? RE2JS.CASE_INSENSITIVE : 0;
    return RE2JS.compile(RE2JS.translateRegExp(pattern), flags);
  } catch (error) {
    const why = error instanceof Error ? error.message : "";
    throw new SyntaxError(why.replace(/^.*parsing regexp: /, "").replaceAll("`", ""), {
      cause: error,
    });
  }
}
