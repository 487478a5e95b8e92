#!/usr/bin/env node
import { Command, InvalidArgumentError, Option } from "commander";
import { pino } from "pino";
import { DEFAULT_PORT, createServer } from "./server.ts";
import { DEFAULT_FOLDER, type StoreOptions } from "./open-store.ts";

interface ServeFlags {
  readonly host: string;
  readonly port: number;
  readonly data: string;
  readonly inMemory?: true;
}

/** How long a stop may take before the process ends itself, in milliseconds. */
const STOP_TIMEOUT_MS = 9500;

const program = new Command("millrace")
  .description(
    "Durable real-time streams: typed RPC, live subscriptions and triggers over one ordered log.",
  )
  .showHelpAfterError("Try --help.");

program
  .command("serve")
  .description("serve streams until stopped by SIGTERM or SIGINT")
  .option("--host <host>", "address to listen on", "127.0.0.1")
  .option("--port <port>", "port to listen on; 0 picks a free one", parsePort, DEFAULT_PORT)
  .addOption(new Option("--adapter <name>", "where data is kept").choices(["kv"]).default("kv"))
  .option("--data <folder>", "folder of the data", DEFAULT_FOLDER)
  .option("--in-memory", "keep data in memory only: it is gone with the process")
  .action(serve);

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`millrace: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function serve(flags: ServeFlags): Promise<void> {
  const logger = pino({ name: "millrace" }, pino.destination(2));
  const store: StoreOptions = flags.inMemory
    ? { kind: "in_memory" }
    : { kind: "file_based", folder: flags.data };
  const server = await createServer({ host: flags.host, port: flags.port, store, logger });

  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return;
    stopping = true;
    logger.info({ signal }, "stopping");
    setTimeout(() => {
      logger.error("could not stop in time");
      process.exit(1);
    }, STOP_TIMEOUT_MS).unref();
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, "stopping failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);

  process.stdout.write(`millrace listening on ${server.url}\n`);
  process.stderr.write(nextStep(server.url));
}

function nextStep(url: string): string {
  return `
Set an item, then read it back:

  curl ${url}/millrace.v1.StreamService/Set -H 'content-type: application/json' \\
    -d '{"streamName":"chat","groupId":"lobby","itemId":"m1","data":{"text":"hello"}}'
  curl ${url}/millrace.v1.StreamService/Get -H 'content-type: application/json' \\
    -d '{"streamName":"chat","groupId":"lobby","itemId":"m1"}'

`;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError("It may be an integer from 0 to 65535.");
}
