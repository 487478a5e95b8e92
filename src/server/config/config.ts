import { resolve } from "node:path";
import { insecurityOf } from "../server.ts";
import { FILE_VARIABLE, readEnvironmentLayer } from "./environment-layer.ts";
import { readFileLayer } from "./file-layer.ts";
import { type NamedAdapter, judge, judgeAdapter } from "./validate.ts";
import { HIDDEN } from "./discretion.ts";
import { KEYS, type Key, keyNamed, nameOf } from "./keys.ts";
import type { KeyPath } from "./tree.ts";
import { type Layer, NO_LAYER } from "./layer.ts";
import { setAt, valueAt } from "./tree.ts";
import { toServerOptions } from "./options.ts";
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

/** A valid configuration. */
export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read; undefined when there is none. */
  readonly file: string | undefined;
  /**
   * Where the value of a key comes from: `millrace.yaml:3`, `MILLRACE_PORT`, `a flag`; undefined
   * for a default.
   */
  originOf(key: Key): string | undefined;
  /**
   * Whether the value of a key came from a placeholder, so that it must not be shown.
   *
   * @param below Path within the value, for a list.
   */
  isHidden(key: Key, below: KeyPath): boolean;
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
  const fileLayer = await loadFile(file, sources);
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
  const insecurity = insecurityOf(config.host, toServerOptions(config), shownHost);
  if (insecurity !== undefined) throw new ConfigError([insecurity]);
  return {
    config,
    file,
    originOf: ({ path }) => sourceOf(path)?.originOf(path),
    isHidden: ({ path }, below) => isHidden(path, below),
    warnings: layers.toReversed().flatMap((layer) => layer.warnings),
  };
}

async function loadFile(file: string | undefined, { environment, folder }: ConfigSources) {
  const nothing = { ...NO_LAYER, variables: new Set<string>() };
  if (file === undefined) return nothing;
  if (file === "")
    return { ...nothing, problems: ["--config has no value; it may be the path of a file"] };
  const read = await readText(resolve(folder, file));
  if ("problem" in read) return { ...nothing, problems: [`${file} ${read.problem}`] };
  return readFileLayer(read.text, file, environment);
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
