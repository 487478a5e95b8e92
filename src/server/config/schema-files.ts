import { resolve } from "node:path";
import { parse } from "yaml";
import { isRecord } from "../../core/is-record.ts";
import { SchemaError } from "../../streams/schema-form.ts";
import { compileSchema } from "../../streams/value-schema.ts";
import { HIDDEN } from "./discretion.ts";
import { readText } from "./read-file.ts";
import { valueAt } from "./tree.ts";
import type { ConfigProblem } from "./validate.ts";

/** The schemas of a configuration. */
export interface SchemaFiles {
  /** Content of the files, by the pattern of their entry in `streams`. */
  readonly schemas: ReadonlyMap<string, object | boolean>;
  /** Files that cannot be read, or contain no schema. */
  readonly findings: readonly ConfigProblem[];
}

/**
 * Reads the files that entries of `streams` name.
 *
 * @param input The configuration as written, which may be invalid in any way.
 * @param folder The working directory.
 */
export async function readSchemaFiles(input: unknown, folder: string): Promise<SchemaFiles> {
  const streams = valueAt(input, ["streams"]);
  const schemas = new Map<string, object | boolean>();
  const findings: ConfigProblem[] = [];
  for (const [pattern, section] of isRecord(streams) ? Object.entries(streams) : []) {
    const file = valueAt(section, ["schema"]);
    if (typeof file !== "string" || file === "" || file.includes("\0")) continue;
    const read = await readSchema(resolve(folder, file));
    if ("schema" in read) {
      schemas.set(pattern, read.schema);
      continue;
    }
    const path = ["streams", pattern, "schema"];
    const discreet = { path, complaint: `is ${HIDDEN}, which ${read.problem}` };
    findings.push({
      path,
      complaint: `is ${JSON.stringify(file)}, which ${read.problem}`,
      discreet,
    });
  }
  return { schemas, findings };
}

async function readSchema(
  path: string,
): Promise<{ readonly schema: object | boolean } | { readonly problem: string }> {
  const read = await readText(path);
  if ("problem" in read) return read;
  let schema: unknown;
  try {
    // JSON is YAML as well.
    schema = parse(read.text, { version: "1.2", schema: "core", logLevel: "error" });
  } catch {
    return { problem: "is neither JSON nor YAML" };
  }
  try {
    compileSchema(schema);
    return { schema: schema as object | boolean };
  } catch (error) {
    if (error instanceof SchemaError) return { problem: error.message };
    throw error;
  }
}
