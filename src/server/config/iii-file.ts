import { type Node, type YAMLMap, isMap, isNode, isScalar, isSeq } from "yaml";
import { type ConfigProblem, wrongValue } from "./validate.ts";
import type { KeyPath } from "./tree.ts";
import { CONFIG } from "./schema.ts";

/** The parts of an iii engine's file that matter here. */
export interface ForeignFile {
  /** The `config` of its entry for streams; undefined when it has none. */
  readonly config: Node | undefined;
  /** The port where workers connect; undefined when the file has none. */
  readonly workerPort: ForeignPort | undefined;
  /** Mistakes outside of the entry for streams; paths begin at the top of the file. */
  readonly findings: readonly ConfigProblem[];
  /** Other settings of the file, which have no effect, for a warning. */
  readonly ignored: readonly string[];
}

/** A port that is set outside of the entry for streams. */
export interface ForeignPort {
  /** Undefined for DEFAULT_WORKER_PORT. */
  readonly node: Node | undefined;
  /** Path from the top of the file. */
  readonly path: KeyPath;
  /** Its name in sentences. */
  readonly name: string;
}

/** The configuration of an entry, translated into our own. */
export interface TranslatedEntry {
  readonly input: unknown;
  readonly findings: readonly ConfigProblem[];
  /** Keys of iii that have no effect, for a warning. */
  readonly ignored: readonly string[];
}

/** The default port of an iii engine's workers. */
export const DEFAULT_WORKER_PORT = 49134;

type Section = Readonly<Record<string, unknown>>;

/** The lists that hold the parts of an engine: the current name and the older one. */
const LISTS = ["workers", "modules"];
/** Most characters of a name in a warning. */
const MAX_SHOWN_NAME = 60;
/** Keys at the top that are the engine's own, although we have keys of the same names. */
const ENGINE_KEYS = ["host", "port"];
const STREAM_NAME = "iii-stream";
const MANAGER_NAME = "iii-worker-manager";
const STREAM_CLASS = /^modules::streams?::StreamModule$/;
/** Keys of iii without a meaning here. */
const IGNORED = ["save_interval_ms", "channel_size"];
const ADAPTERS = ["kv", "redis"];
/** Last part of an adapter's class -> the adapter's name. */
const ADAPTER_CLASSES: Readonly<Record<string, string>> = {
  KvStore: "kv",
  RedisAdapter: "redis",
  Bridge: "bridge",
  BridgeAdapter: "bridge",
};

/** Whether a file is that of an iii engine. */
export function isForeign(root: YAMLMap): boolean {
  return LISTS.some((list) => root.has(list));
}

/**
 * Finds the entry for streams in an engine's file, and the port of the engine's workers. The rest
 * belongs to the engine.
 */
export function readForeignFile(root: YAMLMap): ForeignFile {
  const entries = LISTS.flatMap((list) => {
    const listed = root.get(list);
    return isSeq(listed)
      ? listed.items.map((entry, index) => ({ entry, path: [list, index] }))
      : [];
  });
  const [found, second] = entries.filter(({ entry }) => isAboutStreams(entry));
  const findings = misplacedKeys(root);
  if (found === undefined) {
    const path = LISTS.filter((list) => root.has(list)).slice(0, 1);
    const complaint =
      "has no entry for streams; one has name: iii-stream, or class: modules::stream::StreamModule";
    findings.push({ path, complaint });
  }
  if (second !== undefined)
    findings.push({ path: second.path, complaint: "is a second entry for streams; one is enough" });

  // The first one counts, as in iii. A port with access rules (`rbac`) is not a port for all
  // workers.
  const manager = entries.find(({ entry }) => isManager(entry) && !configOf(entry)?.has("rbac"));
  const managerConfig = configOf(manager?.entry);
  const managerPort = nodeAt(managerConfig, "port");
  const topPort = nodeAt(root, "port");
  const atTop: ForeignPort | undefined = topPort && {
    node: topPort,
    path: ["port"],
    name: "port at the top",
  };
  const atManager: ForeignPort | undefined = manager && {
    node: managerPort,
    path: [...manager.path, "config", "port"],
    name: `port of ${MANAGER_NAME}`,
  };
  const others = entries.filter((entry) => entry !== found && entry !== manager);
  return {
    config: nodeAt(found?.entry, "config"),
    workerPort: atManager ?? atTop,
    findings,
    ignored: [
      ...others.map(({ entry, path }) => entryName(entry) ?? path.join(" ")),
      ...keysOf(managerConfig, ["port"]).map((key) => `${key} of ${MANAGER_NAME}`),
      ...keysOf(root, [...LISTS, ...(atManager === undefined ? ["port"] : [])]).map(
        (key) => `${key} at the top`,
      ),
    ],
  };
}

/** Translates an entry's configuration. Null means absent, as in iii. */
export function translateEntry(config: unknown): TranslatedEntry {
  const ignored = new Set<string>();
  const input = cleaned(config ?? {}, ignored);
  let findings: ConfigProblem[] = [];
  if (isSection(input) && isSection(input["adapter"])) {
    const adapter = translateAdapter(cleaned(input["adapter"], ignored) as Section, ignored);
    findings = adapter.findings;
    input["adapter"] = adapter.input;
  }
  if (isSection(input) && Array.isArray(input["functions"]))
    input["functions"] = input["functions"].map(withoutNulls);
  return {
    input,
    findings,
    ignored: Array.from(ignored, (key) => `${key} of ${STREAM_NAME}`),
  };
}

/** Translates an adapter, which has a name, or a class whose last part determines the name. */
function translateAdapter(
  adapter: Section,
  ignored: Set<string>,
): { readonly input: unknown; readonly findings: ConfigProblem[] } {
  const { class: className, config, ...others } = adapter;
  const input = { ...others, ...(config !== undefined && { config: cleaned(config, ignored) }) };
  const refuse = (key: string, complaint: string) => ({
    input: {},
    findings: [{ path: ["adapter", key], complaint }],
  });
  if (className !== undefined && adapter["name"] !== undefined)
    return refuse("class", "is set beside name; one of them is enough");
  const key = className === undefined ? "name" : "class";
  const given = adapter[key];
  if (given === undefined) return { input, findings: [] };
  const last = typeof given === "string" ? (given.split("::").at(-1) ?? "") : "";
  const name = key === "class" ? ADAPTER_CLASSES[last] : last;
  if (name === "bridge")
    return refuse(
      key,
      `is ${last}: a bridge forwards everything to another engine; here it may be kv or redis`,
    );
  if (name === undefined || !ADAPTERS.includes(name))
    return {
      input: {},
      findings: [
        wrongValue(
          ["adapter", key],
          given,
          key === "name" ? "kv or redis" : "one that ends with KvStore or RedisAdapter",
        ),
      ],
    };
  return { input: { ...input, name }, findings: [] };
}

function isAboutStreams(entry: unknown): boolean {
  if (!isMap(entry)) return false;
  return entry.get("name") === STREAM_NAME || STREAM_CLASS.test(String(entry.get("class")));
}

/** Whether an entry is about the port where workers connect. */
function isManager(entry: unknown): boolean {
  return isMap(entry) && entry.get("name") === MANAGER_NAME;
}

/** The name of an entry; undefined when it has none. */
function entryName(entry: unknown): string | undefined {
  if (!isMap(entry)) return undefined;
  const name = entry.get("name") ?? entry.get("class");
  return typeof name === "string" ? name.slice(0, MAX_SHOWN_NAME).toWellFormed() : undefined;
}

function configOf(entry: unknown): YAMLMap | undefined {
  const config = isMap(entry) ? entry.get("config") : undefined;
  return isMap(config) ? config : undefined;
}

/** The node at a key. Null means absent, as in iii. */
function nodeAt(map: unknown, key: string): Node | undefined {
  const node = isMap(map) ? map.get(key, true) : undefined;
  return isNode(node) && !(isScalar(node) && node.value === null) ? node : undefined;
}

/** Keys of a section, except some. */
function keysOf(map: YAMLMap | undefined, except: readonly string[]): string[] {
  const keys = map?.items.map(({ key }) => String(isScalar(key) ? key.value : key)) ?? [];
  return keys
    .filter((key) => !except.includes(key))
    .map((key) => key.slice(0, MAX_SHOWN_NAME).toWellFormed());
}

/** Our own keys outside of the entry, where they would be ignored: some of them restrict access. */
function misplacedKeys(root: YAMLMap): ConfigProblem[] {
  return Object.keys(CONFIG.shape)
    .filter((key) => !ENGINE_KEYS.includes(key) && root.has(key))
    .map((key) => ({
      path: [key],
      complaint: "has no effect here; move it into the config of the entry for streams",
    }));
}

/** A section without its ignored and null values. */
function cleaned(section: unknown, ignored: Set<string>): unknown {
  if (!isSection(section)) return section;
  const kept = Object.entries(section).filter(([key, value]) => {
    if (!IGNORED.includes(key)) return value !== null;
    ignored.add(key);
    return false;
  });
  return Object.fromEntries(kept);
}

/** A section of a list without its null values. */
function withoutNulls(section: unknown): unknown {
  if (!isSection(section)) return section;
  return Object.fromEntries(Object.entries(section).filter(([, value]) => value !== null));
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
