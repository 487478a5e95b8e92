import { resolve } from "node:path";
import { hashOfKey } from "../../rights/keys.ts";
import { insecurityOf } from "../insecurity.ts";
import { doubtsAboutAuth } from "./auth-doubts.ts";
import { FILE_VARIABLE, readEnvironmentLayer } from "./environment-layer.ts";
import { readFileLayer } from "./file-layer.ts";
import { type NamedAdapter, judge, judgeAdapter } from "./validate.ts";
import { HIDDEN } from "./discretion.ts";
import { KEYS, keyNamed, nameOf } from "./keys.ts";
import type { KeyPath } from "./tree.ts";
import { type Layer, NO_LAYER } from "./layer.ts";
import { setAt, valueAt } from "./tree.ts";
import { toServerOptions } from "./options.ts";
import { readPublicKeys } from "./public-keys.ts";
import { readSchemaFiles } from "./schema-files.ts";
import type { Environment } from "./placeholders.ts";
import { findDefaultFile, readText } from "./read-file.ts";
import { CONFIG, type Config, type ConfigInput } from "./schema.ts";

/** Where a configuration comes from. */
export interface ConfigSources {
  /** The file that a flag names. Default: MILLRACE_CONFIG, or `millrace.yaml` if it exists. */
  readonly file?: string | undefined;
  /** The configuration from flags, whose values have been checked. */
  readonly flags?: ConfigInput | undefined;
  readonly environment: Environment;
  /** The working directory. */
  readonly folder: string;
}

/** A key, or an entry of a list. */
interface Located {
  readonly path: KeyPath;
}

/** A valid configuration. */
export interface LoadedConfig {
  readonly config: Config;
  /** Content of the public key files, by the index of their entry in `auth.jwt`. */
  readonly publicKeys: ReadonlyMap<number, string>;
  /** Content of the files of schemas, by the pattern of their entry in `streams`. */
  readonly schemas: ReadonlyMap<string, object | boolean>;
  /** The file that was read; undefined when there is none. */
  readonly file: string | undefined;
  /**
   * Where the value of a key comes from: `millrace.yaml:3`, `MILLRACE_PORT`, `a flag`; undefined
   * for a default.
   */
  originOf(key: Located): string | undefined;
  /**
   * Whether the value of a key came from a placeholder, so that it must not be shown.
   *
   * @param below Path within the value, for a list.
   */
  isHidden(key: Located, below?: KeyPath): boolean;
  /** Sentences about oddities. */
  readonly warnings: readonly string[];
}

/** An invalid configuration. The message lists every mistake, one per line. */
class ConfigError extends Error {
  /** The mistakes: at least one sentence. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const [only, ...others] = problems;
    super(
      others.length === 0 && only !== undefined
        ? only
        : `the configuration has ${problems.length} mistakes:\n${problems.map((problem) => `  ${problem}`).join("\n")}`,
    );
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/**
 * Loads the configuration: flags override the environment, which overrides the file, which
 * overrides the defaults. Every source is checked completely, even where another one overrides it.
 *
 * @throws ConfigError with all mistakes, not only the first.
 */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const { environment, folder } = sources;
  const flags: Layer = { ...NO_LAYER, input: sources.flags ?? {}, originOf: () => "a flag" };
  const named = sources.file ?? (environment[FILE_VARIABLE] || undefined);
  const file = named ?? (await findDefaultFile(folder));
  const { publicKeys, schemas, ...fileLayer } = await loadFile(file, sources);
  const layers = [flags, readEnvironmentLayer(environment, fileLayer.variables), fileLayer];

  const adapter = adapterOf(layers);
  const problems = layers.toReversed().flatMap((layer) => problemsOf(layer, adapter));
  const input = {};
  for (const key of KEYS) {
    const value = layers
      .map((layer) => valueAt(layer.input, key.path))
      .find((v) => v !== undefined);
    if (value !== undefined) setAt(input, key.path, value);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const config = CONFIG.parse(input);
  const sourceOf = (path: KeyPath) =>
    layers.find((layer) => valueAt(layer.input, path) !== undefined);
  const isHidden = (path: KeyPath, below: KeyPath = []) =>
    sourceOf(path)?.isHidden([...path, ...below]) === true;
  const shownHost = isHidden(["host"]) ? HIDDEN : config.host;
  const insecurity = insecurityOf(config.host, toServerOptions(config, publicKeys), shownHost);
  if (insecurity !== undefined) throw new ConfigError([insecurity]);
  const sameKeys = keysThatAreTokens(config);
  if (sameKeys.length > 0) throw new ConfigError(sameKeys);
  const doubts = doubtsAboutAuth(config, (path) => isHidden(path)).map(
    ({ path, sentence }) => `${sourceOf(path)?.originOf(path)}: ${sentence.replace(/\.$/, "")}`,
  );
  return {
    config,
    publicKeys,
    schemas,
    file,
    originOf: ({ path }) => sourceOf(path)?.originOf(path),
    isHidden: ({ path }, below) => isHidden(path, below),
    warnings: [...layers.toReversed().flatMap((layer) => layer.warnings), ...doubts],
  };
}

async function loadFile(file: string | undefined, { environment, folder }: ConfigSources) {
  const files = { publicKeys: new Map(), schemas: new Map() };
  const nothing = { ...NO_LAYER, variables: new Set<string>(), ...files };
  if (file === undefined) return nothing;
  if (file === "")
    return { ...nothing, problems: ["--config has no value; it may be the path of a file"] };
  const read = await readText(resolve(folder, file));
  if ("problem" in read) return { ...nothing, problems: [`${file} ${read.problem}`] };
  const layer = readFileLayer(read.text, file, environment);
  const { keys: publicKeys, findings } = await readPublicKeys(layer.input, folder);
  const schemaFiles = await readSchemaFiles(layer.input, folder);
  const all = [...layer.findings, ...findings, ...schemaFiles.findings];
  return { ...layer, findings: all, publicKeys, schemas: schemaFiles.schemas };
}

/** Keys that are also tokens: a caller with one would be two callers. */
function keysThatAreTokens({ auth, api_tokens: tokens }: Config): string[] {
  const hashes = new Set(tokens.map(hashOfKey));
  return auth.keys.flatMap(({ key, key_sha256: hash }, index) =>
    hashes.has(key === undefined ? (hash ?? "").toLowerCase() : hashOfKey(key))
      ? [`auth.keys[${index}] is also one of api_tokens; each entry needs a key of its own`]
      : [],
  );
}

/** The adapter in force; undefined when the source that names it has a mistake there. */
function adapterOf(layers: readonly Layer[]): NamedAdapter | undefined {
  const key = keyNamed("adapter.name");
  const nameIn = (layer: Layer) => valueAt(layer.input, key.path);
  const isUnreadable = ({ findings }: Layer) =>
    findings.some(({ path: [section, part] }) => section === "adapter" && part !== "config");
  const source = layers.find((layer) => nameIn(layer) !== undefined || isUnreadable(layer));
  if (source === undefined) return { name: key.fallback, origin: "default" };
  const name = nameIn(source);
  const isRight = judge({ adapter: { name } }).length === 0;
  return name !== undefined && isRight ? { name, origin: source.originOf(key.path) } : undefined;
}

function problemsOf(layer: Layer, adapter: NamedAdapter | undefined): string[] {
  const seen = new Set<string>();
  const ofAdapter = adapter === undefined ? [] : judgeAdapter(layer.input, adapter);
  // The first finding at a place is its cause; later ones are consequences.
  const found = [...layer.findings, ...judge(layer.input), ...ofAdapter]
    .map((problem) =>
      problem.discreet !== undefined && layer.isHidden(problem.path) ? problem.discreet : problem,
    )
    .filter(({ path }) => !seen.has(nameOf(path)) && seen.add(nameOf(path)))
    .sort((a, b) => layer.rankOf(a.path) - layer.rankOf(b.path))
    .map(({ path, complaint }) => `${layer.subjectOf(path)} ${complaint}`);
  return [...layer.problems, ...found];
}
