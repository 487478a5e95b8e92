import { basename } from "node:path";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** A script that Redis runs atomically. */
export interface LuaScript {
  /** File name without folder and extension, for messages. */
  readonly name: string;
  readonly text: string;
  /** SHA-1 of the text, for EVALSHA. */
  readonly sha: string;
}

/**
 * Reads a script from a file beside the calling module.
 *
 * @param folder `import.meta.url` of the calling module.
 * @param name Path of the file from there, without extension.
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
  return { name: basename(name), text, sha: createHash("sha1").update(text).digest("hex") };
}
