import { type Node, type YAMLMap, isMap, isNode, isSeq } from "yaml";
import { type Problem, wrongValue } from "./judge.ts";
import { CONFIG } from "./schema.ts";

/** The entry of an iii engine's file that configures streams. */
export interface StreamEntry {
  /** Its `config`; undefined when it has none. */
  readonly config: Node | undefined;
  /** The engine's own port, at the top of the file: workers connect there. */
  readonly workerPort: Node | undefined;
  /** What is wrong in the file around it; paths begin at the top of the file. */
  readonly findings: readonly Problem[];
}

/** The configuration of an entry, turned into our own. */
export interface TranslatedEntry {
  readonly input: unknown;
  readonly findings: readonly Problem[];
  readonly warnings: readonly string[];
}

type Section = Readonly<Record<string, unknown>>;

/** The lists that hold the parts of an engine: today's name and the older one. */
const LISTS = ["workers", "modules"];
/** Keys at the top that are the engine's own, though we have keys of these names too. */
const ENGINE_KEYS = ["host", "port"];
const STREAM_CLASS = /^modules::streams?::StreamModule$/;
/** Keys of iii that have no meaning here. */
const IGNORED = ["save_interval_ms", "channel_size"];
const ADAPTERS = ["kv", "redis"];
/** Last part of the class of an adapter -> its name. */
const ADAPTER_CLASSES: Readonly<Record<string, string>> = {
  KvStore: "kv",
  RedisAdapter: "redis",
  Bridge: "bridge",
  BridgeAdapter: "bridge",
};

/** Whether a file is one of an iii engine, and not our own. */
export function isForeign(root: YAMLMap): boolean {
  return LISTS.some((list) => root.has(list));
}

/** Finds the entry about streams in an engine's file. Everything else there is the engine's. */
export function findStreamEntry(root: YAMLMap): StreamEntry {
  const [found, second] = LISTS.flatMap((list) => {
    const listed = root.get(list);
    return isSeq(listed)
      ? listed.items.map((entry, index) => ({ entry, path: [list, index] }))
      : [];
  }).filter(({ entry }) => isAboutStreams(entry));
  const findings = misplacedKeys(root);
  if (found === undefined) {
    const path = LISTS.filter((list) => root.has(list)).slice(0, 1);
    const complaint =
      "has no entry for streams; one has name: iii-stream, or class: modules::stream::StreamModule";
    findings.push({ path, complaint });
  }
  if (second !== undefined)
    findings.push({ path: second.path, complaint: "is a second entry for streams; one is enough" });
  const config = isMap(found?.entry) ? found.entry.get("config", true) : undefined;
  const port = root.get("port", true);
  return {
    config: isNode(config) ? config : undefined,
    workerPort: isNode(port) ? port : undefined,
    findings,
  };
}

/** Translates an entry's configuration. A value that is null is as good as absent, as for iii. */
export function translateEntry(config: unknown): TranslatedEntry {
  const ignored = new Set<string>();
  const input = cleaned(config ?? {}, ignored);
  let findings: Problem[] = [];
  if (isSection(input) && isSection(input["adapter"])) {
    const adapter = translateAdapter(cleaned(input["adapter"], ignored) as Section, ignored);
    findings = adapter.findings;
    input["adapter"] = adapter.input;
  }
  if (isSection(input) && Array.isArray(input["functions"]))
    input["functions"] = input["functions"].map(withoutNulls);
  const warnings =
    ignored.size === 0
      ? []
      : [`ignored, as it has no meaning here: ${[...ignored].join(", ")} of iii`];
  return { input, findings, warnings };
}

/** An adapter is named by a name, or by a class whose last part tells it. */
function translateAdapter(
  adapter: Section,
  ignored: Set<string>,
): { readonly input: unknown; readonly findings: Problem[] } {
  const { class: className, config, ...others } = adapter;
  const input = { ...others, ...(config !== undefined && { config: cleaned(config, ignored) }) };
  const refuse = (key: string, complaint: string) => ({
    input: {},
    findings: [{ path: ["adapter", key], complaint }],
  });
  if (className !== undefined && adapter["name"] !== undefined)
    return refuse("class", "stands beside name; one of them is enough");
  const key = className === undefined ? "name" : "class";
  const given = adapter[key];
  if (given === undefined) return { input, findings: [] };
  const last = typeof given === "string" ? (given.split("::").at(-1) ?? "") : "";
  const name = key === "class" ? ADAPTER_CLASSES[last] : last;
  if (name === "bridge")
    return refuse(
      key,
      `is ${last}: a bridge hands everything on to another engine; here it may be kv or redis`,
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
  return entry.get("name") === "iii-stream" || STREAM_CLASS.test(String(entry.get("class")));
}

/** Our own keys outside of the entry, where nobody would read them: some of them keep doors shut. */
function misplacedKeys(root: YAMLMap): Problem[] {
  return Object.keys(CONFIG.shape)
    .filter((key) => !ENGINE_KEYS.includes(key) && root.has(key))
    .map((key) => ({
      path: [key],
      complaint: "has no effect here; it may stand in the config of the entry for streams",
    }));
}

/** A section without what is ignored or null. */
function cleaned(section: unknown, ignored: Set<string>): unknown {
  if (!isSection(section)) return section;
  const kept = Object.entries(section).filter(([key, value]) => {
    if (!IGNORED.includes(key)) return value !== null;
    ignored.add(key);
    return false;
  });
  return Object.fromEntries(kept);
}

/** A section of a list without what is null. */
function withoutNulls(section: unknown): unknown {
  if (!isSection(section)) return section;
  return Object.fromEntries(Object.entries(section).filter(([, value]) => value !== null));
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
