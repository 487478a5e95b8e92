#!/usr/bin/env node
import { Command, Option } from "commander";
import { type LoadedConfig, loadConfig } from "./config/config.ts";
import { configJsonSchema } from "./config/json-schema.ts";
import { keyNamed } from "./config/keys.ts";
import { toServerOptions } from "./config/options.ts";
import { DEFAULT_FILE } from "./config/read-file.ts";
import { reportOf } from "./config/report.ts";
import type { Config, ConfigInput } from "./config/schema.ts";
import { checkedInput } from "./config/text-input.ts";
import type { StoreOptions } from "./open-store.ts";
import { addRightsCommands } from "./commands/rights-commands.ts";

interface ServeFlags {
  readonly config?: string;
  readonly host?: string;
  readonly port?: number;
  readonly adapter?: "kv" | "redis";
  readonly data?: string;
  readonly inMemory?: true;
  readonly redisUrl?: string;
  readonly newEpochs?: true;
}

/** How long a stop may take after the drain delay before the process exits, in milliseconds. */
const STOP_TIMEOUT_MS = 9500;
/** Default drain delay of a fleet's member, in milliseconds. */
const FLEET_DRAIN_DELAY_MS = 5000;
/** Exit status of wrong usage: an unknown flag or command, or an invalid value. */
const WRONG_USAGE = 2;

const program = new Command("millrace")
  .description(
    "Durable real-time streams: typed RPC, live subscriptions and triggers over one ordered log.",
  )
  .showHelpAfterError("Try --help.")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : WRONG_USAGE));

program
  .command("serve")
  .description("serve streams until stopped by SIGTERM or SIGINT")
  .addOption(configFlag())
  .addOption(flagFor("host", "--host <host>", "address to listen on"))
  .addOption(flagFor("port", "--port <port>", "port to listen on; 0 picks a free one"))
  .addOption(flagFor("adapter.name", "--adapter <name>", "where data is stored: kv or redis"))
  .addOption(flagFor("adapter.config.file_path", "--data <folder>", "data folder"))
  .addOption(
    new Option(
      "--in-memory",
      "store data in memory only; it is lost when the process ends",
    ).conflicts("data"),
  )
  .addOption(
    flagFor(
      "adapter.config.redis_url",
      "--redis-url <url>",
      "store data in the Redis at this address; other users of the machine can see a password in it",
    ).conflicts(["data", "inMemory"]),
  )
  .addOption(
    new Option(
      "--new-epochs",
      "begin a new epoch in every group, once: after a whole disk was restored from a snapshot",
    ).conflicts(["inMemory", "redisUrl"]),
  )
  .action(serve);

program
  .command("check-config")
  .description("print the settings in force, or every mistake in the configuration")
  .argument("[file]", `file to check (default: ./${DEFAULT_FILE}, if it exists)`)
  .action(async (file: string | undefined) => {
    const loaded = await load(file);
    for (const warning of loaded.warnings) print(`warning: ${warning}`);
    process.stdout.write(reportOf(loaded));
  });

program
  .command("config-schema")
  .description("print the JSON Schema of the configuration file, for use in editors")
  .action(() => {
    process.stdout.write(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`);
  });

addRightsCommands(program, configFlag, load, print);

try {
  await program.parseAsync();
} catch (error) {
  print(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function serve(flags: ServeFlags, command: Command): Promise<void> {
  const place = placeOf(flags);
  if (place !== undefined && place.name !== (flags.adapter ?? place.name))
    command.error(`error: ${place.flag} cannot be used with --adapter ${flags.adapter ?? ""}`);
  const { config, publicKeys, schemas, file, warnings } = await load(
    flags.config,
    inputOfFlags(flags),
  );
  // Large, and only needed to serve.
  const [{ pino }, { createServer }] = await Promise.all([import("pino"), import("./server.ts")]);
  const logger = pino({ name: "millrace", level: config.log_level }, pino.destination(2));
  for (const warning of warnings) logger.warn(warning);
  if (file !== undefined) logger.info({ file }, "configuration file loaded");
  const options = toServerOptions(config, publicKeys, schemas);
  const { drainDelayMs = defaultDrainDelayMs(config) } = options;
  const server = await createServer({
    ...options,
    drainDelayMs,
    store: storeOf(options, flags, command),
    logger,
  });

  let signals = 0;
  let watchdog: NodeJS.Timeout | undefined;
  const stop = (signal: string) => {
    signals++;
    // A second signal ends the drain delay; further ones have no effect.
    if (signals > 2) return;
    const delayMs = signals === 1 ? drainDelayMs : 0;
    logger.info({ signal, drain_delay_ms: delayMs }, "stopping");
    clearTimeout(watchdog);
    watchdog = setTimeout(() => {
      logger.error("could not stop in time");
      process.exit(1);
    }, delayMs + STOP_TIMEOUT_MS).unref();
    const closed = server.close({ drainDelayMs: delayMs });
    if (signals > 1) return;
    closed.then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, "shutdown failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);

  process.stdout.write(`millrace listening on ${server.url}\n`);
  process.stderr.write(nextStep(server.url, credentialsOf(config)));
}

/**
 * The drain delay when none is configured: a fleet has a load balancer, and a user at a terminal
 * does not want to wait.
 */
function defaultDrainDelayMs({ adapter }: LoadedConfig["config"]): number {
  const isAtTerminal = process.stdin.isTTY || process.stderr.isTTY;
  return adapter.name === "redis" && !isAtTerminal ? FLEET_DRAIN_DELAY_MS : 0;
}

/** The store that configuration and flags choose. */
function storeOf(
  { store }: { readonly store: StoreOptions },
  { newEpochs }: ServeFlags,
  command: Command,
) {
  if (newEpochs === undefined) return store;
  if (store.kind !== "file_based")
    command.error("error: --new-epochs is for data on disk, but this service stores it elsewhere.");
  return { ...store, beginNewEpochs: true };
}

async function load(file: string | undefined, flags?: ConfigInput): Promise<LoadedConfig> {
  return loadConfig({ file, flags, environment: process.env, folder: process.cwd() });
}

/** Where flags place the data, and which flag does so. Each of them also chooses the adapter. */
function placeOf({ data, inMemory, redisUrl }: ServeFlags) {
  if (redisUrl !== undefined)
    return { flag: "--redis-url", name: "redis", config: { redis_url: redisUrl } } as const;
  if (data !== undefined) {
    const config = { store_method: "file_based", file_path: data } as const;
    return { flag: "--data", name: "kv", config } as const;
  }
  if (inMemory === true)
    return { flag: "--in-memory", name: "kv", config: { store_method: "in_memory" } } as const;
  return undefined;
}

/** Turns flags into configuration. */
function inputOfFlags(flags: ServeFlags): ConfigInput {
  const { host, port, adapter } = flags;
  const place = placeOf(flags);
  const name = adapter ?? place?.name;
  return {
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    adapter: {
      ...(name !== undefined && { name }),
      ...(place !== undefined && { config: place.config }),
    },
  };
}

/** The flag that names the configuration file. */
function configFlag(): Option {
  return new Option("--config <file>", `configuration file (default: ./${DEFAULT_FILE})`);
}

/** A flag for a key of the configuration, with its default and its checks. */
function flagFor(name: string, flags: string, description: string): Option {
  const key = keyNamed(name);
  return new Option(flags, `${description} (default: ${String(key.fallback)})`).argParser(
    (text) => {
      const checked = checkedInput(key, text);
      if (!("complaint" in checked)) return checked.input;
      // An InvalidArgumentError would show the whole value, which may hold a password.
      return program.error(`error: option '${flags}' ${checked.complaint}.`);
    },
  );
}

function print(message: string): void {
  process.stderr.write(`millrace: ${message}\n`);
}

/** The credentials that callers from this machine need; undefined when they need none. */
function credentialsOf({ api_tokens, api_token_file, auth }: Config): string | undefined {
  if (auth.local) return undefined;
  if (api_tokens.length > 0 || api_token_file !== undefined) return "one of api_tokens";
  if (auth.keys.length > 0) return "one of auth.keys";
  return auth.jwt.length > 0 ? "the token of a user who may" : undefined;
}

/** Two commands to try. They take the token from a variable, so that none is printed. */
function nextStep(url: string, credentials: string | undefined): string {
  const [first, header] =
    credentials === undefined
      ? ["", ""]
      : [` (with ${credentials} in TOKEN)`, ` \\\n    -H "authorization: Bearer $TOKEN"`];
  return `
Set an item, then read it back${first}:

  curl ${url}/millrace.v1.StreamService/Set -H 'content-type: application/json'${header} \\
    -d '{"streamName":"chat","groupId":"lobby","itemId":"m1","data":{"text":"hello"}}'
  curl ${url}/millrace.v1.StreamService/Get -H 'content-type: application/json'${header} \\
    -d '{"streamName":"chat","groupId":"lobby","itemId":"m1"}'

`;
}
