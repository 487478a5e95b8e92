import { KEYS, PREFIX, nameOf, variableOf } from "./keys.ts";
import type { KeyPath } from "./tree.ts";
import { type Layer, NO_LAYER } from "./layer.ts";
import { closestKey } from "../../core/spelling.ts";
import { setAt } from "./tree.ts";
import type { Environment } from "./placeholders.ts";
import { inputOf } from "./text-input.ts";

/** Variable that names the file to read, when no flag does. */
export const FILE_VARIABLE = `${PREFIX}CONFIG`;

/** Variables of the project's own scripts and tests. */
const SCRIPTS = new RegExp(`^${PREFIX}(?:LONG|SEED|INSTALL|TEST_.*)$`);
/** Variables that Kubernetes sets for services whose name begins with "millrace". */
const SERVICE_LINK = /_SERVICE_(?:HOST|PORT(?:_.+)?)$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?$/;
const SERVICE_ADDRESS = /^(?:tcp|udp|sctp):\/\//;

/** Plausible names, and the keys that they stand for. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  DATA: "adapter.config.file_path",
  IN_MEMORY: "adapter.config.store_method",
  REDIS: "adapter.config.redis_url",
};

/**
 * Reads the variables that begin with `MILLRACE_`.
 *
 * One that looks like a misspelt key is a mistake, because somebody relies on it; any other is only
 * a warning, since programs around the service may have variables of their own.
 *
 * @param used Variables that placeholders in the file name.
 */
export function readEnvironmentLayer(environment: Environment, used: ReadonlySet<string>): Layer {
  const input: Record<string, unknown> = {};
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || !name.startsWith(PREFIX)) continue;
    if (isServiceLink(name, value)) continue;
    if (name === FILE_VARIABLE) {
      if (value === "")
        problems.push(`${name} is set but empty; unset it, or set it to the path of a file`);
      continue;
    }
    const key = KEYS.find(({ variable }) => variable === name);
    if (key === undefined) {
      if (used.has(name) || SCRIPTS.test(name)) continue;
      const complaint = unknownVariableMessage(name);
      if (complaint === undefined) warnings.push(`${name} is not a setting and is ignored`);
      else problems.push(`${name} ${complaint}`);
    } else if (value === "") {
      problems.push(`${name} is set but empty; unset it, or set it to ${key.may}`);
    } else setAt(input, key.path, inputOf(key.kind, value));
  }
  const originOf = (path: KeyPath) =>
    variableOf(nameOf(path.filter((part) => typeof part !== "number")));
  return { ...NO_LAYER, input, originOf, subjectOf: originOf, problems, warnings };
}

function isServiceLink(name: string, value: string): boolean {
  return SERVICE_LINK.test(name) || (name.endsWith("_PORT") && SERVICE_ADDRESS.test(value));
}

/** What is wrong with a variable without a key; undefined when it may belong to another program. */
function unknownVariableMessage(name: string): string | undefined {
  const rest = name.slice(PREFIX.length);
  const inFile = KEYS.filter(({ variable }) => variable === undefined).find((key) =>
    `${name}_`.startsWith(`${variableOf(key.name)}_`),
  );
  if (inFile !== undefined)
    return `is set, but a variable cannot hold ${inFile.kind === "map" ? "sections" : "a list of sections"}; unset it, and set ${inFile.name} in the file`;
  const variables = KEYS.flatMap(({ variable }) => variable ?? []);
  const others = new Map(variables.map((variable) => [variable.slice(PREFIX.length), variable]));
  others.set(FILE_VARIABLE.slice(PREFIX.length), FILE_VARIABLE);
  for (const [other, key] of Object.entries(OTHER_NAMES)) others.set(other, variableOf(key));
  // A part of a name counts if it is the beginning, or an end of at least two words.
  const meant = [...others.keys()].find(
    (other) =>
      other === rest ||
      other.startsWith(`${rest}_`) ||
      (rest.includes("_") && other.endsWith(`_${rest}`)),
  );
  const nearest = meant ?? closestKey(rest, [...others.keys()]);
  return nearest === undefined
    ? undefined
    : `is not a setting; did you mean ${others.get(nearest) ?? ""}?`;
}
