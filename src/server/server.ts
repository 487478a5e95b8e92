import { setMaxListeners } from "node:events";
import { type Logger, pino } from "pino";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import { createBridge, refuse } from "../bridge/bridge.ts";
import { type BridgeLimits, DEFAULT_BRIDGE_LIMITS } from "../bridge/limits.ts";
import type { History, Store } from "../core/store.ts";
import { createHealth } from "../rpc/health.ts";
import { createSubscribeLane } from "../rpc/subscribe-lane.ts";
import { type Engine, type EngineOptions, createEngine } from "../service/engine.ts";
import { shuttingDown } from "../service/guarded.ts";
import { type StreamService as Service, facade } from "../service/stream-service.ts";
import { createCallers, isLoopbackName } from "./callers.ts";
import { callerOf, createHttpHandler, transportOf } from "./http-handler.ts";
import { type Listener, type PortListeners, listen } from "./listener.ts";
import { DEFAULT_FOLDER, type StoreOptions, openStore } from "./open-store.ts";

/** How to run a server. Every option has a default. */
export interface ServerOptions extends EngineOptions {
  /** Address to listen on. Default 127.0.0.1. Others need `apiTokens`, or `insecure: true`. */
  readonly host?: string | undefined;
  /** Port to listen on; 0 picks a free one. Default 3112. */
  readonly port?: number | undefined;
  /** Where data is kept: a store that is open (the server closes it), or which one to open. Default: on disk in ./data. */
  readonly store?: Store | StoreOptions | undefined;
  /** How much history each group keeps, for a store that the server opens. */
  readonly history?: Partial<History> | undefined;
  /** Tokens that make a caller trusted. Default none: callers from this machine are trusted. */
  readonly apiTokens?: readonly string[] | undefined;
  /** Trusts everybody who reaches the port. Default false. */
  readonly insecure?: boolean | undefined;
  /** Origins of browser pages that may follow streams; `*`: any. Default: loopback and the service's own. */
  readonly allowedOrigins?: readonly string[] | undefined;
  /** Bounds of sockets of the WebSocket bridge; what is absent has its default. */
  readonly bridge?: Partial<BridgeLimits> | undefined;
  /** Where to log. Default: JSON lines on stderr, warnings and worse. */
  readonly logger?: Logger | undefined;
}

/** A running server. */
export interface Server {
  /** Address that it answers on, for example `http://127.0.0.1:3112`. */
  readonly url: string;
  readonly port: number;
  /** The same service without the network. */
  readonly service: Service;
  /**
   * Stops: accepts nothing new, ends subscriptions with UNAVAILABLE / SHUTTING_DOWN, finishes calls
   * under way, flushes the store. Takes at most ten seconds. Idempotent.
   */
  close(): Promise<void>;
}

/** How often health is looked at, in milliseconds. */
const HEALTH_INTERVAL_MS = 1000;
/** Default port. */
export const DEFAULT_PORT = 3112;
/** How long the store may take to flush when the server stops, in milliseconds. */
const FLUSH_GRACE_MS = 4000;
/** How long calls under way may take to finish when the server stops, in milliseconds. */
const CLOSE_GRACE_MS = 5000;

/**
 * Starts a server. Resolves when every door answers.
 *
 * @throws Error with a sentence for the operator when the port or the store cannot be had.
 */
export async function createServer(options: ServerOptions = {}): Promise<Server> {
  const host = options.host ?? "127.0.0.1";
  const port = options.port ?? DEFAULT_PORT;
  const logger = options.logger ?? pino({ level: "warn" }, pino.destination(2));
  const insecurity = insecurityOf(host, options);
  if (insecurity !== undefined) throw new Error(insecurity);
  const store = await resolveStore(options);
  const engine = createEngine(store, {
    onFailure: (error, call) =>
      logger.error({ err: error.cause ?? error, reason: error.reason, call }, error.message),
    ...options,
  });
  try {
    return await open(engine, host, port, options, logger);
  } catch (error) {
    await engine.close();
    throw error;
  }
}

async function open(
  engine: Engine,
  host: string,
  port: number,
  options: ServerOptions,
  logger: Logger,
): Promise<Server> {
  const health = createHealth([StreamService.typeName]);
  const draining = new AbortController();
  // Every open stream of writes listens.
  setMaxListeners(0, draining.signal);
  const callers = createCallers({
    apiTokens: options.apiTokens ?? [],
    allowedOrigins: options.allowedOrigins,
    onLoopback: isLoopbackName(host),
    insecure: options.insecure ?? false,
  });
  const handler = createHttpHandler({
    handlers: engine.handlers,
    callers,
    health,
    draining: draining.signal,
    onError: (error, path) => logger.warn({ err: error, path }, "a call failed"),
  });
  const bridge = createBridge({
    handlers: engine.handlers,
    limits: { ...DEFAULT_BRIDGE_LIMITS, ...options.bridge },
    allowsOrigin: (request) => callers.allowsOrigin(callerOf(request)),
  });
  const lane = createSubscribeLane(engine.handlers);
  const listener = await listenOn(host, port, {
    onRequest: handler,
    onStream: (stream, headers) => lane(stream, headers, transportOf(stream, headers, callers)),
    onUpgrade: (request, socket, head) => {
      if (!bridge.upgrade(request, socket, head)) refuse(socket, 404, "Not found.");
    },
  });
  health.set("serving");
  // A store that has failed takes no writes until a restart: whoever probes should send them elsewhere.
  const watch = setInterval(() => {
    if (engine.store.failure !== undefined) health.set("not_serving");
  }, HEALTH_INTERVAL_MS);
  watch.unref();

  let closed: Promise<void> | undefined;
  const close = async () => {
    clearInterval(watch);
    health.set("not_serving");
    const finished = listener.close(CLOSE_GRACE_MS);
    bridge.close();
    engine.drain();
    health.close();
    draining.abort(shuttingDown());
    await finished;
    await withinGrace(engine.close(), logger);
  };
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${listener.port}`,
    port: listener.port,
    service: facade(engine),
    close: () => (closed ??= close()),
  };
}

/** A disk that hangs must not keep the process for ever: what is not flushed was never acknowledged. */
async function withinGrace(closing: Promise<void>, logger: Logger): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      logger.error(`the store did not close within ${FLUSH_GRACE_MS} ms; leaving it`);
      resolve();
    }, FLUSH_GRACE_MS);
  });
  await Promise.race([closing, late]);
  clearTimeout(timer);
}

/** Why a server may not listen on a host with these options, as a sentence; undefined when it may. */
export function insecurityOf(
  host: string,
  { apiTokens = [], insecure = false }: Pick<ServerOptions, "apiTokens" | "insecure">,
): string | undefined {
  if (isLoopbackName(host) || apiTokens.length > 0 || insecure) return undefined;
  return (
    `host is ${host}, which other machines reach, and nobody would have to prove who they are: ` +
    "configure api_tokens, or listen on 127.0.0.1, or set insecure: true if you mean it."
  );
}

async function resolveStore({ store, history }: ServerOptions): Promise<Store> {
  if (store !== undefined && "run" in store) return store;
  return openStore(store ?? { kind: "file_based", folder: DEFAULT_FOLDER }, history);
}

async function listenOn(host: string, port: number, listeners: PortListeners): Promise<Listener> {
  try {
    return await listen(host, port, listeners);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    const why: Record<string, string> = {
      EADDRINUSE: `port ${port} on ${host} is in use; stop the other program, or choose another with --port (0 picks a free one).`,
      EACCES: `port ${port} on ${host} may not be opened by this user; choose one from 1024 up with --port.`,
      EADDRNOTAVAIL: `host ${host} is not an address of this machine; choose one with --host.`,
      ENOTFOUND: `host ${host} is not known; choose an address of this machine with --host.`,
    };
    throw new Error(why[code] ?? `cannot listen on ${host} port ${port} (${code}).`, {
      cause: error,
    });
  }
}
