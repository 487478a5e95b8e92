import { closest } from "../../wire/decode-suggestion.ts";

/** The candidate that a misspelt name most likely means: the same letters in another order, or nearly the same. */
export function meantBy(name: string, candidates: readonly string[]): string | undefined {
  // In a short name, two letters that changed places are too much of a difference for the other rule.
  return candidates.find((other) => letters(other) === letters(name)) ?? closest(name, candidates);
}

function letters(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z]/g, "")
    .split("")
    .sort()
    .join("");
}
