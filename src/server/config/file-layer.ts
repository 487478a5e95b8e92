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
  if (!isForeign(root)) {
    const { input, findings, hidden } = file.read(root, environment);
    return {
      ...placesOf(file, name, root),
      isHidden: isBelow(hidden),
      input,
      findings,
      problems: [],
      warnings: [],
      variables,
    };
  }

  const entry = findStreamEntry(root);
  const outside = placesOf(file, name, root);
  const read = entry.config === undefined ? undefined : file.read(entry.config, environment);
  const translated = translateEntry(read?.input);
  const workers = readWorkerPort(file, entry.workerPort, environment);
  // What the entry says itself comes first.
  const input = { ...workers.input, ...(translated.input as object) };
  const inside = placesOf(file, name, entry.config);
  const isAtTop = (path: Path) => path[0] === "worker_port" && !hasKey(translated.input, path[0]);
  const at = (path: Path) => (isAtTop(path) ? ["port"] : path);
  const places = (path: Path) => (isAtTop(path) ? outside : inside);
  return {
    rankOf: (path) => places(path).rankOf(at(path)),
    originOf: (path) => places(path).originOf(at(path)),
    subjectOf: (path) => places(path).subjectOf(at(path)),
    isHidden: isBelow([...(read?.hidden ?? []), ...workers.hidden]),
    input,
    findings: [...(read?.findings ?? []), ...translated.findings],
    problems: entry.findings.map(
      ({ path, complaint }) => `${outside.subjectOf(path)} ${complaint}`,
    ),
    warnings: [...workers.warnings, ...translated.warnings],
    variables,
  };
}

/**
 * The engine's port becomes that of workers. It stands outside of the entry, so a variable that it needs
 * may not be there: then workers have no port of their own.
 */
function readWorkerPort(file: YamlFile, node: Node | undefined, environment: Environment) {
  if (node === undefined) return { input: {}, warnings: [], hidden: [] };
  const { input, findings, hidden } = file.read(node, environment);
  const [finding] = findings;
  if (finding === undefined) {
    // As elsewhere in such a file, null is as good as absent.
    const isGiven = input !== null && input !== undefined;
    return {
      input: isGiven ? { worker_port: input } : {},
      warnings: [],
      hidden: hidden.map((path): Path => ["worker_port", ...path]),
    };
  }
  const warning = `port at the top of the file, which is for workers, is not used: it ${finding.complaint}`;
  return { input: {}, warnings: [warning], hidden: [] };
}

/** Whether a path is one of these, or below one. */
function isBelow(tops: readonly Path[]): (path: Path) => boolean {
  return (path) => tops.some((top) => top.every((part, index) => path[index] === part));
}

function hasKey(input: unknown, key: PropertyKey): boolean {
  return typeof input === "object" && input !== null && Object.hasOwn(input, key);
}

function placesOf(file: YamlFile, name: string, node: Node | undefined) {
  const rankOf = (path: Path) => file.lineOf(node, path);
  const originOf = (path: Path) => `${name}:${rankOf(path)}`;
  const subjectOf = (path: Path) => `${originOf(path)}: ${nameOf(path) || "the configuration"}`;
  return { rankOf, originOf, subjectOf };
}
