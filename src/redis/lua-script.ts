import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** A script that Redis runs atomically. */
export interface LuaScript {
  /** File name without extension, for messages. */
  readonly name: string;
  readonly text: string;
  /** SHA-1 of the text, for EVALSHA. */
  readonly sha: string;
}

/**
 * Reads a script from a file beside the calling module.
 *
 * @param folder `import.meta.url` of the calling module.
 * @param prelude Files with code that several scripts share, which comes first.
 */
export function luaScript(
  folder: string,
  name: string,
  prelude: readonly string[] = [],
): LuaScript {
  const text = [...prelude, name]
    .map((file) => readFileSync(new URL(`${file}.lua`, folder), "utf8"))
    .join("\n");
  return { name, text, sha: createHash("sha1").update(text).digest("hex") };
}
