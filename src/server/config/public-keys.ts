import { resolve } from "node:path";
import { checkJwtOptions } from "../../rights/jwt/options.ts";
import { SettingError } from "../../rights/setting-error.ts";
import { jwtOptionsOf, jwtSectionOf, problemOf } from "./auth-section.ts";
import { HIDDEN } from "./discretion.ts";
import { readText } from "./read-file.ts";
import { valueAt } from "./tree.ts";
import type { ConfigProblem } from "./validate.ts";

/** The public keys of a configuration. */
export interface PublicKeys {
  /** Content of the files, by the index of their entry in `auth.jwt`. */
  readonly keys: ReadonlyMap<number, string>;
  /** Files that cannot be read, or hold no key for their entry. */
  readonly findings: readonly ConfigProblem[];
}

/**
 * Reads the files that entries of `auth.jwt` name.
 *
 * @param input The configuration as written, which may be invalid in any way.
 * @param folder The working directory.
 */
export async function readPublicKeys(input: unknown, folder: string): Promise<PublicKeys> {
  const entries: unknown = valueAt(input, ["auth", "jwt"]);
  const keys = new Map<number, string>();
  const findings: ConfigProblem[] = [];
  for (const [index, entry] of Array.isArray(entries) ? entries.entries() : []) {
    const file = valueAt(entry, ["public_key_file"]);
    if (typeof file !== "string" || file === "") continue;
    const path = ["auth", "jwt", index, "public_key_file"];
    const read = await readText(resolve(folder, file));
    if ("problem" in read) {
      const complaint = `is ${JSON.stringify(file)}, which ${read.problem}`;
      const discreet = { path, complaint: `is ${HIDDEN}, which ${read.problem}` };
      findings.push({ path, complaint, discreet });
      continue;
    }
    keys.set(index, read.text);
    findings.push(...keyProblems(entry, index, read.text));
  }
  return { keys, findings };
}

function keyProblems(entry: unknown, index: number, text: string): ConfigProblem[] {
  const section = jwtSectionOf(entry);
  if (section === undefined) return [];
  try {
    checkJwtOptions(jwtOptionsOf(section, text), `auth.jwt[${index}]`);
    return [];
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    const { path, complaint } = problemOf(error, "auth.jwt");
    return [{ path: ["auth", "jwt", ...path], complaint }];
  }
}
