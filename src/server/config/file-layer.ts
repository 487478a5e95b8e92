import type { Node } from "yaml";
import { findStreamEntry, isForeign, translateEntry } from "./iii.ts";
import { type Path, nameOf } from "./keys.ts";
import { type Layer, NO_LAYER } from "./layer.ts";
import type { Environment } from "./placeholders.ts";
import { type YamlFile, parseYaml } from "./yaml-file.ts";

/** A file's layer. */
export interface FileLayer extends Layer {
  /** Names of the environment variables that the file asks for. */
  readonly variables: ReadonlySet<string>;
}

/**
 * Reads the text of a configuration file: our own, or that of an iii engine, which is one with
 * `workers` or `modules` at the top.
 *
 * @param name Of the file, as the operator knows it.
 */
export function readFileLayer(text: string, name: string, environment: Environment): FileLayer {
  const parsed = parseYaml(text);
  if ("faults" in parsed) {
    const problems = parsed.faults.map(({ line, complaint }) => `${name}:${line}: ${complaint}`);
    return { ...NO_LAYER, problems, variables: new Set() };
  }
  const { file } = parsed;
  const { root, variables } = file;
  if (root === undefined) return { ...NO_LAYER, variables };
  if (!isForeign(root))
    return {
      ...placesOf(file, name, root),
      ...file.read(root, environment),
      problems: [],
      warnings: [],
      variables,
    };

  const entry = findStreamEntry(root);
  const outside = placesOf(file, name, root);
  const read = entry.config === undefined ? undefined : file.read(entry.config, environment);
  const translated = translateEntry(read?.input);
  return {
    ...placesOf(file, name, entry.config),
    input: translated.input,
    findings: [...(read?.findings ?? []), ...translated.findings],
    problems: entry.findings.map(
      ({ path, complaint }) => `${outside.subjectOf(path)} ${complaint}`,
    ),
    warnings: [...entry.warnings, ...translated.warnings],
    variables,
  };
}

function placesOf(file: YamlFile, name: string, node: Node | undefined) {
  const rankOf = (path: Path) => file.lineOf(node, path);
  const originOf = (path: Path) => `${name}:${rankOf(path)}`;
  const subjectOf = (path: Path) => `${originOf(path)}: ${nameOf(path) || "the configuration"}`;
  return { rankOf, originOf, subjectOf };
}
