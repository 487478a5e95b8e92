import { resolve } from "node:path";
import { insecurityOf } from "../server.ts";
import { FILE_VARIABLE, readEnvironmentLayer } from "./environment-layer.ts";
import { readFileLayer } from "./file-layer.ts";
import { type NamedAdapter, judge, judgeAdapter } from "./validate.ts";
import { HIDDEN } from "./discretion.ts";
import { KEYS, type Key, keyNamed, nameOf } from "./keys.ts";
import type { Path } from "./tree.ts";
import { type Layer, NO_LAYER } from "./layer.ts";
import { setAt, valueAt } from "./tree.ts";
import { toServerOptions } from "./options.ts";
import type { Environment } from "./placeholders.ts";
import { findDefaultFile, readText } from "./read-file.ts";
import { CONFIG, type Config, type ConfigInput } from "./schema.ts";

/** Where a configuration comes from. */
export interface ConfigSources {
  /** The file that a flag names. Default: that of MILLRACE_CONFIG, or `millrace.yaml` if it exists. */
  readonly file?: string | undefined;
  /** What flags say; their values have been checked. */
  readonly flags?: ConfigInput | undefined;
  readonly environment: Environment;
  /** The working directory. */
  readonly folder: string;
}

/** A configuration that may be used. */
export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read; undefined when there is none. */
  readonly file: string | undefined;
  /** Where the value of a key comes from: `millrace.yaml:3`, `MILLRACE_PORT`, `a flag`; undefined for a default. */
  originOf(key: Key): string | undefined;
  /**
   * Whether the value of a key came from a placeholder, so that it is not to be shown.
   *
   * @param below Place within the value, for a list.
   */
  isHidden(key: Key, below: Path): boolean;
  /** Sentences about what is odd. */
  readonly warnings: readonly string[];
}

/** A configuration that may not be used. Its message lists everything that is wrong, a line each. */
class ConfigError extends Error {
  /** What is wrong: at least one sentence. */
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
 * Loads the configuration: flags beat the environment, which beats the file, which beats the
 * defaults. Every source is checked as a whole, also where another one overrules it.
 *
 * @throws ConfigError with all that is wrong, not only the first.
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
  const decides = (path: Path) => layers.find((layer) => valueAt(layer.input, path) !== undefined);
  const isHidden = (path: Path, below: Path = []) =>
    decides(path)?.isHidden([...path, ...below]) === true;
  const shownHost = isHidden(["host"]) ? HIDDEN : config.host;
  const insecurity = insecurityOf(config.host, toServerOptions(config), shownHost);
  if (insecurity !== undefined) throw new ConfigError([insecurity]);
  return {
    config,
    file,
    originOf: ({ path }) => decides(path)?.originOf(path),
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

/** The adapter in force; undefined when the source that decides it is wrong about it. */
function adapterOf(layers: readonly Layer[]): NamedAdapter | undefined {
  const key = keyNamed("adapter.name");
  const nameIn = (layer: Layer) => valueAt(layer.input, key.path);
  const isUnreadable = ({ findings }: Layer) =>
    findings.some(({ path: [section, part] }) => section === "adapter" && part !== "config");
  const decides = layers.find((layer) => nameIn(layer) !== undefined || isUnreadable(layer));
  if (decides === undefined) return { name: key.fallback, origin: "default" };
  const name = nameIn(decides);
  const isRight = judge({ adapter: { name } }).length === 0;
  return name !== undefined && isRight ? { name, origin: decides.originOf(key.path) } : undefined;
}

function problemsOf(layer: Layer, adapter: NamedAdapter | undefined): string[] {
  const seen = new Set<string>();
  const ofAdapter = adapter === undefined ? [] : judgeAdapter(layer.input, adapter);
  // What is found first at a place is its cause; the rest follows from it.
  const found = [...layer.findings, ...judge(layer.input), ...ofAdapter]
    .map((problem) =>
      problem.discreet !== undefined && layer.isHidden(problem.path) ? problem.discreet : problem,
    )
    .filter(({ path }) => !seen.has(nameOf(path)) && seen.add(nameOf(path)))
    .sort((a, b) => layer.rankOf(a.path) - layer.rankOf(b.path))
    .map(({ path, complaint }) => `${layer.subjectOf(path)} ${complaint}`);
  return [...layer.problems, ...found];
}
