import { judge } from "./validate.ts";
import type { Key } from "./keys.ts";
import type { KeyType } from "./key-types.ts";
import { setAt } from "./tree.ts";

/**
 * Turns text from the environment or a flag into the value that a file would hold, by the type of
 * its key. Text of another form stays text, which validation refuses.
 */
export function inputOf(kind: KeyType, text: string): unknown {
  switch (kind) {
    case "integer":
    case "size":
      return /^\d+$/.test(text) ? Number(text) : text;
    case "toggle":
      return text === "true" ? true : text === "false" ? false : text;
    case "list":
      return text.split(",").map((item) => item.trim());
    case "sections":
    case "map":
    case "texts":
    case "text":
    case "choice":
    case "duration":
      return text;
  }
}

/** The value of a text for a key, or what is wrong with it. */
export function checkedInput(
  key: Key,
  text: string,
): { readonly input: unknown } | { readonly complaint: string } {
  const input = inputOf(key.kind, text);
  const tree = {};
  setAt(tree, key.path, input);
  const [problem] = judge(tree);
  return problem === undefined ? { input } : { complaint: problem.complaint };
}
