import { judge } from "./validate.ts";
import type { Key } from "./keys.ts";
import type { Kind } from "./key-types.ts";
import { setAt } from "./tree.ts";

/**
 * What a text from the environment or a flag would be in a file, by the kind of its key. What is not
 * of that kind stays text, for the checks to refuse.
 */
export function inputOf(kind: Kind, text: string): unknown {
  switch (kind) {
    case "integer":
    case "size":
      return /^\d+$/.test(text) ? Number(text) : text;
    case "toggle":
      return text === "true" ? true : text === "false" ? false : text;
    case "list":
      return text.split(",").map((item) => item.trim());
    case "sections":
    case "text":
    case "choice":
    case "duration":
      return text;
  }
}

/** What a text is for a key, or what is wrong with it. */
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
