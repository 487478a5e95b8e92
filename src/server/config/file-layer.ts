import type { Node, YAMLMap } from "yaml";
import {
  DEFAULT_WORKER_PORT,
  type ForeignPort,
  isForeign,
  readForeignFile,
  translateEntry,
} from "./iii-file.ts";
import { nameOf } from "./keys.ts";
import type { KeyPath } from "./tree.ts";
import { type Layer, NO_LAYER } from "./layer.ts";
import type { Environment } from "./placeholders.ts";
import { type YamlFile, parseYaml } from "./yaml-file.ts";

/** The layer of a file. */
export interface FileLayer extends Layer {
  /** Names of the environment variables that placeholders in the file name. */
  readonly variables: ReadonlySet<string>;
}

/**
 * Reads the text of a configuration file: one of our own, or one of an iii engine, which has
 * `workers` or `modules` at the top.
 *
 * @param name Name of the file, as the operator knows it.
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

  return { ...readForeignLayer(file, name, root, environment), variables };
}

/**
 * Reads the parts of an iii engine's file about streams and workers; one warning names the rest.
 */
function readForeignLayer(
  file: YamlFile,
  name: string,
  root: YAMLMap,
  environment: Environment,
): Layer {
  const foreign = readForeignFile(root);
  const outside = placesOf(file, name, root);
  const read = foreign.config === undefined ? undefined : file.read(foreign.config, environment);
  const translated = translateEntry(read?.input);
  const workers = readWorkerPort(file, foreign.workerPort, environment);
  // The entry for streams takes precedence.
  const input = { ...workers.input, ...(translated.input as object) };
  const inside = placesOf(file, name, foreign.config);
  const isOutside = (path: KeyPath) =>
    path[0] === "worker_port" && !hasKey(translated.input, path[0]) && workers.path !== undefined;
  const at = (path: KeyPath) => (isOutside(path) ? (workers.path ?? path) : path);
  const places = (path: KeyPath) => (isOutside(path) ? outside : inside);
  const ignored = [
    ...foreign.ignored,
    ...translated.ignored,
    ...workers.ignored,
    ...(workers.path !== undefined && hasKey(translated.input, "worker_port")
      ? [`${foreign.workerPort?.name}, as iii-stream has worker_port`]
      : []),
  ];
  return {
    rankOf: (path) => places(path).rankOf(at(path)),
    originOf: (path) => places(path).originOf(at(path)),
    subjectOf: (path) => places(path).subjectOf(at(path)),
    isHidden: isBelow([...(read?.hidden ?? []), ...workers.hidden]),
    input,
    findings: [...(read?.findings ?? []), ...translated.findings],
    problems: foreign.findings.map(
      ({ path, complaint }) => `${outside.subjectOf(path)} ${complaint}`,
    ),
    warnings:
      ignored.length === 0
        ? []
        : [`the file of an iii engine has settings that are ignored here: ${ignored.join("; ")}`],
  };
}

/** The port of workers, as set in a file outside of the entry for streams. */
interface WorkerPort {
  readonly input: object;
  /** Path of the port from the top of the file; undefined when it is not set. */
  readonly path?: KeyPath;
  /** Settings without effect, for a warning. */
  readonly ignored: readonly string[];
  /** Paths of values that must not be shown. */
  readonly hidden: readonly KeyPath[];
}

const NO_WORKER_PORT: WorkerPort = { input: {}, ignored: [], hidden: [] };

/**
 * The port of the engine's workers. It is set outside of the entry for streams, so a variable that
 * it needs may be unset: then workers have no separate port.
 */
function readWorkerPort(
  file: YamlFile,
  given: ForeignPort | undefined,
  environment: Environment,
): WorkerPort {
  if (given === undefined) return NO_WORKER_PORT;
  const { node, path, name } = given;
  if (node === undefined)
    return { ...NO_WORKER_PORT, input: { worker_port: DEFAULT_WORKER_PORT }, path };
  const { input, findings, hidden } = file.read(node, environment);
  const [finding] = findings;
  if (finding !== undefined)
    return { ...NO_WORKER_PORT, ignored: [`${name}, because it ${finding.complaint}`] };
  // Null means absent, as elsewhere in such a file.
  if (input === null || input === undefined) return NO_WORKER_PORT;
  return {
    input: { worker_port: input },
    path,
    ignored: [],
    hidden: hidden.map((below): KeyPath => ["worker_port", ...below]),
  };
}

/** Makes a test for paths that are one of these, or below one. */
function isBelow(tops: readonly KeyPath[]): (path: KeyPath) => boolean {
  return (path) => tops.some((top) => top.every((part, index) => path[index] === part));
}

function hasKey(input: unknown, key: PropertyKey): boolean {
  return typeof input === "object" && input !== null && Object.hasOwn(input, key);
}

function placesOf(file: YamlFile, name: string, node: Node | undefined) {
  const rankOf = (path: KeyPath) => file.lineOf(node, path);
  const originOf = (path: KeyPath) => `${name}:${rankOf(path)}`;
  const subjectOf = (path: KeyPath) => `${originOf(path)}: ${nameOf(path) || "the configuration"}`;
  return { rankOf, originOf, subjectOf };
}
