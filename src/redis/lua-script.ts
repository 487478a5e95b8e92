import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** A script that Redis runs in one step. */
export interface LuaScript {
  /** File name without its ending, for messages. */
  readonly name: string;
  readonly text: string;
  /** What Redis knows it by. */
  readonly sha: string;
}

/**
 * Reads a script from a file beside the module that asks.
 *
 * @param folder `import.meta.url` of that module.
 * @param prelude Files whose text comes first, for what several scripts share.
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
