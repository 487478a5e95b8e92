import {
  type Document,
  LineCounter,
  type Node,
  type YAMLMap,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  parse,
  parseDocument,
  visit,
} from "yaml";
import type { ConfigProblem } from "./validate.ts";
import { keyAt } from "./keys.ts";
import type { KeyPath } from "./tree.ts";
import {
  type Environment,
  type MaskedText,
  type Quotes,
  maskPlaceholders,
} from "./placeholders.ts";

/** A parsed YAML file. */
export interface YamlFile {
  /** The map at the top; undefined when the file is empty or holds comments only. */
  readonly root: YAMLMap | undefined;
  /** Names of the environment variables in placeholders, anywhere in the file. */
  readonly variables: ReadonlySet<string>;
  /** The line of a path below a node, or of its nearest parent that is in the file. */
  lineOf(node: Node | undefined, path: KeyPath): number;
  /**
   * Replaces the placeholders below a node by values, each parsed as YAML itself, and converts the
   * node to plain objects, lists and scalars. A value with a mistake becomes undefined.
   */
  read(node: Node, environment: Environment): ReadNode;
}

/** The content of a node, with values for placeholders. */
export interface ReadNode {
  readonly input: unknown;
  readonly findings: ConfigProblem[];
  /** Paths of values that came from placeholders. */
  readonly hidden: readonly KeyPath[];
}

/** A file, or its syntax errors. */
export type ParsedYaml = { readonly file: YamlFile } | { readonly faults: readonly Fault[] };

interface Fault {
  readonly line: number;
  readonly complaint: string;
}

/** Most expansions of aliases. */
const MAX_ALIAS_COUNT = 100;
/** Most lines with syntax errors that are reported. */
const MAX_FAULTS = 10;
const TOO_DEEP = "this is nested too deeply";

/** Parses a configuration file: YAML 1.2, one document, no duplicate keys, no unknown tags. */
export function parseYaml(source: string): ParsedYaml {
  const masked = maskPlaceholders(source);
  const lines = new LineCounter();
  const lineAt = (offset: number) => lines.linePos(offset).line;
  let document: Document.Parsed;
  try {
    document = parseDocument(masked.text, {
      version: "1.2",
      schema: "core",
      stringKeys: true,
      prettyErrors: false,
      lineCounter: lines,
    });
  } catch {
    return { faults: [{ line: 1, complaint: TOO_DEEP }] };
  }
  const faults = faultsOf(document, source, lineAt);
  if (faults.length > 0) return { faults };
  const root: Node | null = document.contents;
  const isEmpty = root === null || (isScalar(root) && root.value === null);
  if (!isEmpty && !isMap(root)) {
    const complaint = "the file may hold keys with values, such as port: 3112";
    return { faults: [{ line: lineAt(root.range?.[0] ?? 0), complaint }] };
  }
  return {
    file: {
      root: isMap(root) ? root : undefined,
      variables: masked.variables,
      lineOf: (node, path) => lineAt(offsetOf(node ?? root, path)),
      read: (node, environment) => readNode(node, document, masked, source, environment),
    },
  };
}

/** The parser's errors, one per line: further errors of a line are mostly consequences. */
function faultsOf(document: Document.Parsed, source: string, lineAt: (offset: number) => number) {
  const faults = new Map<number, Fault>();
  for (const { pos, code, message } of [...document.errors, ...document.warnings]) {
    const line = lineAt(pos[0]);
    const complaint = faultSentence(code, message, source.slice(pos[0]));
    if (!faults.has(line)) faults.set(line, { line, complaint });
  }
  return [...faults.values()].slice(0, MAX_FAULTS);
}

function faultSentence(code: string, message: string, rest: string): string {
  if (code === "DUPLICATE_KEY")
    return `${/^[^:\n]*/.exec(rest)?.[0].trim() || "a key"} is given twice`;
  // The parser is recursive.
  if (message.includes("call stack")) return TOO_DEEP;
  // Some messages end with a piece of the file, which may be a secret.
  return `this is not YAML: ${message.replace(/: ".*$/s, "").replace(/;.*$/s, "")}`;
}

function offsetOf(start: Node | null, path: KeyPath): number {
  let node: unknown = start;
  let offset = start?.range?.[0] ?? 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => keyText(key) === String(part));
      if (pair === undefined) break;
      offset = rangeStart(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof part === "number") {
      node = node.items[part];
      offset = rangeStart(node) ?? offset;
    } else break;
  }
  return offset;
}

function rangeStart(node: unknown): number | undefined {
  return (node as Node | undefined)?.range?.[0];
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : "";
}

function readNode(
  start: Node,
  document: Document.Parsed,
  masked: MaskedText,
  source: string,
  environment: Environment,
): ReadNode {
  const findings: ConfigProblem[] = [];
  const filled = new Set<unknown>();
  const entered = new Set<Node>();
  const done = new Set<unknown>();
  const expandBelow = (top: Node, above: KeyPath) => {
    // An alias may lead back to a node that contains it.
    if (entered.has(top)) return;
    entered.add(top);
    visit(top, {
      Alias(_key, alias, ancestors) {
        const target = alias.resolve(document);
        if (target !== undefined) expandBelow(target, [...above, ...pathTo([...ancestors, alias])]);
      },
      Scalar(key, scalar, ancestors) {
        const piece = scalar.value;
        if (done.has(scalar) || typeof piece !== "string" || !masked.isAffected(piece)) return;
        done.add(scalar);
        const [from = 0, to = 0] = scalar.range ?? [];
        if (key === "key") {
          // No key has a placeholder, so it is refused as unknown, by its original text.
          scalar.value = source.slice(from, to);
          return;
        }
        const path = [...above, ...pathTo([...ancestors, scalar])];
        const quotes = quotesOf(scalar.type);
        const expansion = masked.expand(piece, from, quotes, environment);
        if ("problem" in expansion) {
          findings.push({ path, complaint: expansion.problem });
          scalar.value = undefined;
          return;
        }
        const value = isText(path) ? asText(expansion.text, quotes) : asYaml(expansion.text);
        if (typeof value !== "object" || value === null) {
          scalar.value = value;
          filled.add(scalar);
          return;
        }
        const made = document.createNode(value);
        filled.add(made);
        visit(made, { Node: (_key, node) => void done.add(node) });
        return made;
      },
    });
  };
  try {
    expandBelow(start, []);
    const input: unknown = start.toJS(document, { maxAliasCount: MAX_ALIAS_COUNT });
    return { input, findings, hidden: pathsOf(start, document, filled) };
  } catch (error) {
    return { input: {}, findings: [{ path: [], complaint: aliasComplaint(error) }], hidden: [] };
  }
}

/** All paths from a node to the wanted ones, also through aliases. */
function pathsOf(start: unknown, document: Document, wanted: ReadonlySet<unknown>): KeyPath[] {
  if (wanted.size === 0) return [];
  const paths: KeyPath[] = [];
  const above = new Set<unknown>();
  const walk = (node: unknown, path: KeyPath) => {
    if (wanted.has(node)) paths.push(path);
    // An alias may lead back to a node that contains it.
    else if (!above.has(node)) {
      above.add(node);
      if (isAlias(node)) walk(node.resolve(document), path);
      else if (isMap(node))
        for (const { key, value } of node.items) walk(value, [...path, keyText(key)]);
      else if (isSeq(node)) node.items.forEach((item, index) => walk(item, [...path, index]));
      above.delete(node);
    }
  };
  walk(start, []);
  return paths;
}

function aliasComplaint(error: unknown): string {
  if (error instanceof RangeError) return "is nested too deeply";
  const isExcess = error instanceof Error && error.message.startsWith("Excessive");
  return isExcess ? "expands too many aliases" : "has an alias without an anchor before it";
}

/**
 * Keys and indices from the first node of a chain to the last, each contained in the one before.
 */
function pathTo(chain: readonly unknown[]): KeyPath {
  return chain.flatMap((node, index): PropertyKey[] => {
    if (isPair(node)) return [keyText(node.key)];
    return isSeq(node) && index + 1 < chain.length ? [node.items.indexOf(chain[index + 1])] : [];
  });
}

function quotesOf(type: string | undefined): Quotes {
  if (type === "QUOTE_DOUBLE") return "double";
  return type === "QUOTE_SINGLE" ? "single" : "none";
}

function isText(path: KeyPath): boolean {
  const kind = keyAt(path)?.kind;
  return (
    kind === "text" ||
    kind === "choice" ||
    kind === "texts" ||
    (kind === "list" && typeof path.at(-1) === "number")
  );
}

/** Reads text that may have quotes of its own. The whole of it: `a #b` and `12` are texts here. */
function asText(text: string, quotes: Quotes): unknown {
  const bare = quotes === "none" ? text.trim() : text;
  if (!/^(['"]).*\1$/s.test(bare)) return bare;
  const value = asYaml(bare);
  return typeof value === "string" ? value : bare;
}

function asYaml(text: string): unknown {
  try {
    return parse(text, { logLevel: "error" });
  } catch {
    return text;
  }
}
