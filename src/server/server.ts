import { setMaxListeners } from "node:events";
import type { Socket } from "node:net";
import { type Logger, pino } from "pino";
import { createBridge } from "../bridge/bridge.ts";
import { type BridgeLimits, DEFAULT_BRIDGE_LIMITS } from "../bridge/limits.ts";
import { CallerLimiter } from "../limits/caller-limiter.ts";
import { type CallerLimits, DEFAULT_CALLER_LIMITS } from "../limits/caller-limits.ts";
import { FairSet } from "../limits/fair-set.ts";
import { localCoordinator } from "../coordinators/local/local-coordinator.ts";
import type { HistoryOf } from "../core/retention.ts";
import type { Store } from "../core/store.ts";
import { StreamTable } from "../streams/stream-settings.ts";
import { createHealth } from "../rpc/services/health.ts";
import { type Engine, type EngineOptions, createEngine } from "../service/engine.ts";
import { shuttingDown } from "../service/guarded.ts";
import { type StreamService as Service, toLibrary } from "../service/stream-service.ts";
import type { WebhookOptions } from "../webhooks/webhook-options.ts";
import { createSocketDoor } from "../workers/socket-door.ts";
import { createWorkerDirectory } from "../workers/worker-directory.ts";
import { DEFAULT_WORKER_LIMITS, type WorkerLimits } from "../workers/worker-limits.ts";
import { type WorkerPort, openWorkerPort } from "./worker-port.ts";
import type { Workers } from "./worker-routes.ts";
import { unaryMethods } from "../rpc/unary-methods.ts";
import { createWorkerUpgrade } from "./worker-upgrades.ts";
import { type WebhookProvider, webhookProvider } from "../webhooks/webhook-provider.ts";
import { type AuthOptions, callerRules } from "./auth-options.ts";
import { createCallers } from "./callers.ts";
import { frameAccounts, socketCalls } from "./socket-methods.ts";
import { socketIdentification } from "./socket-identification.ts";
import { createAllowsOrigin } from "./origins.ts";
import { factsOf, originOf } from "./connections.ts";
import { OUR_SERVICES, createHttpHandler } from "./http-handler.ts";
import { createPermits } from "./permits.ts";
import { connectionAdmission } from "./port/connection-admission.ts";
import { affordableConnections } from "./port/open-files.ts";
import { createStreamHandler } from "./stream-handler.ts";
import { type Listener, type PortListeners, listen } from "./port/listener.ts";
import { explainListenError } from "./port/listen-error.ts";
import { readTokenFile } from "./api-token-file.ts";
import { decisionLog } from "./decision-log.ts";
import { DEFAULT_FOLDER, DEFAULT_PORT } from "./defaults.ts";
import { createDrainDelay } from "./drain-delay.ts";
import { insecurityOf } from "./insecurity.ts";
import { createProblemLog } from "./problem-log.ts";
import type { Retention } from "./open-redis.ts";
import { type OpenedStore, type StoreOptions, openStore } from "./open-store.ts";
import { UntrustedBodies } from "../limits/untrusted-bodies.ts";
import { BodyBudget } from "../limits/body-budget.ts";

/** How to run a server. Every option has a default. */
export interface ServerOptions extends EngineOptions, Retention {
  /** Address to listen on; a non-loopback one needs tokens, keys or `insecure`. Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** Port to listen on; 0 picks a free one. Default 3112. */
  readonly port?: number | undefined;
  /** An open store, which the server closes, or the store to open. Default: on disk in ./data. */
  readonly store?: Store | StoreOptions | undefined;
  /** Tokens that make a caller trusted. Default none: callers from this machine are trusted. */
  readonly apiTokens?: readonly string[] | undefined;
  /**
   * File that holds the token of trusted callers when there are no `apiTokens`. A missing file is
   * created with a random token, which is logged once as a warning. Default none.
   */
  readonly apiTokenFile?: string | undefined;
  /** Keys, tokens and rights of callers. Default: callers from this machine may do everything. */
  readonly auth?: AuthOptions | undefined;
  /** Trusts every caller that reaches the port. Default false. */
  readonly insecure?: boolean | undefined;
  /** Origins of browser pages that may follow streams; `*`: any. Default: every loopback origin. */
  readonly allowedOrigins?: readonly string[] | undefined;
  /** URL of the service as browsers see it: its origin may follow streams. Default none. */
  readonly publicUrl?: string | undefined;
  /** Limits of sockets of the WebSocket bridge. Absent ones have their defaults. */
  readonly bridge?: Partial<BridgeLimits> | undefined;
  /** Limits of callers, by connection and by address. Absent ones have their defaults. */
  readonly callerLimits?: Partial<CallerLimits> | undefined;
  /** Separate port for workers of the iii protocol; 0 picks one. Default none: they use /worker. */
  readonly workerPort?: number | undefined;
  /** Origins of browser pages that may be workers; `*`: any. Default none. */
  readonly workerAllowedOrigins?: readonly string[] | undefined;
  /** Limits of one worker. Absent ones have their defaults. */
  readonly workerLimits?: Partial<WorkerLimits> | undefined;
  /**
   * Most bytes of requests, frames and webhook responses in memory while they arrive, inflated ones
   * included; more are refused with `OVERLOADED`. Default 64 MiB.
   */
  readonly maxBodyBytesInFlight?: number | undefined;
  /** Functions that are called by an HTTP POST. Default none. */
  readonly webhooks?: readonly WebhookOptions[] | undefined;
  /**
   * How long `close` continues to serve, new calls included, while health reports not_serving, in
   * milliseconds: the time in which load balancers learn to send clients elsewhere. Default 0.
   */
  readonly drainDelayMs?: number | undefined;
  /** Called with the service before any port opens: registers functions, gates and triggers. */
  readonly setup?: ((service: Service) => Promise<void> | void) | undefined;
  /** Where to log. Default: JSON lines on stderr, warnings and worse. */
  readonly logger?: Logger | undefined;
}

/** A running server. */
export interface Server {
  /** Address that it serves, for example `http://127.0.0.1:3112`. */
  readonly url: string;
  readonly port: number;
  /** The separate port for workers, if there is one. */
  readonly workerPort: number | undefined;
  /** The same service without the network. */
  readonly service: Service;
  /**
   * Stops the server. Health reports not_serving at once. After the drain delay the server accepts
   * nothing new, ends subscriptions with UNAVAILABLE / SHUTTING_DOWN, finishes calls in flight, and
   * flushes the store, in ten seconds at most. Idempotent; another call can only shorten the delay.
   */
  close(options?: CloseOptions): Promise<void>;
}

/** How a server stops. */
export interface CloseOptions {
  /** Longest drain delay from now on, in milliseconds; 0 ends it. Default: that of the server. */
  readonly drainDelayMs?: number | undefined;
}

/** How often health is updated, in milliseconds. */
const HEALTH_INTERVAL_MS = 1000;
/** How long the store may take to flush when the server stops, in milliseconds. */
const FLUSH_GRACE_MS = 4000;
/** How long the sockets of workers may take to close, in milliseconds. */
const WORKER_GRACE_MS = 1000;
/** How long calls in flight may take to finish when the server stops, in milliseconds. */
const CLOSE_GRACE_MS = 5000;

/**
 * Starts a server. Resolves when every protocol is served.
 *
 * @throws Error with a sentence for the operator when the port or the store cannot be opened.
 */
export async function createServer(options: ServerOptions = {}): Promise<Server> {
  const host = options.host ?? "127.0.0.1";
  const port = options.port ?? DEFAULT_PORT;
  const logger = options.logger ?? pino({ level: "warn" }, pino.destination(2));
  const insecurity = insecurityOf(host, options);
  if (insecurity !== undefined) throw new Error(insecurity);
  const apiTokens = await tokensOf(options, logger);
  const streams = new StreamTable(options.history, options.streams);
  const isOpen = options.store !== undefined && "run" in options.store;
  const historyOf: HistoryOf = (streamName) => streams.of(streamName).history;
  const { store, coordinator } = await resolveStore(options, historyOf, logger);
  const engine = createEngine(
    store,
    {
      onFailure: (error, call) =>
        logger.error({ err: error.cause ?? error, reason: error.reason, call }, error.message),
      onProblem: createProblemLog(logger, () => performance.now()),
      onDecision: decisionLog(logger),
      ...options,
      coordinator,
    },
    isOpen ? undefined : streams,
  );
  const webhooks: WebhookProvider[] = [];
  const bodies = new BodyBudget(options.maxBodyBytesInFlight);
  const closeAll = async () => {
    await engine.close();
    for (const webhook of webhooks) webhook.close();
  };
  try {
    for (const webhook of options.webhooks ?? []) {
      const provider = webhookProvider(webhook, {}, bodies);
      webhooks.push(provider);
      await engine.functions.register(webhook.id, provider);
    }
    await options.setup?.(toLibrary(engine));
    return await open(engine, host, port, { ...options, apiTokens }, logger, bodies, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function open(
  engine: Engine,
  host: string,
  port: number,
  options: ServerOptions,
  logger: Logger,
  bodies: BodyBudget,
  closeAll: () => Promise<void>,
): Promise<Server> {
  const drainDelayMs = options.drainDelayMs ?? 0;
  const health = createHealth(OUR_SERVICES);
  const draining = new AbortController();
  // Every open write stream adds a listener.
  setMaxListeners(0, draining.signal);
  const { handlers } = engine;
  const callers = createCallers({
    ...(await callerRules(options, (sentence) => logger.warn(sentence))),
    allowsOrigin: createAllowsOrigin({
      allowedOrigins: options.allowedOrigins,
      publicUrl: options.publicUrl,
    }),
    authenticate:
      options.authFunction === undefined ? undefined : (request) => handlers.authenticate(request),
  });
  const limits = { ...DEFAULT_CALLER_LIMITS, ...options.callerLimits };
  const limiter = new CallerLimiter(limits);
  const workers = workersOf(engine, options.workerLimits);
  const untrusted = new UntrustedBodies(bodies);
  const permits = createPermits(callers, limiter, untrusted, engine.require);
  const methods = unaryMethods(handlers);
  const handler = createHttpHandler({
    handlers,
    unaryMethods: methods,
    workers,
    administration: engine.administration,
    callers,
    permits,
    health,
    bodies,
    draining: draining.signal,
    onError: (error, path) => logger.warn({ err: error, path }, "a call failed"),
  });
  const socketLimits = { ...DEFAULT_BRIDGE_LIMITS, ...options.bridge };
  const bridge = createBridge({
    handlers,
    limits: socketLimits,
    subscriptions: limits.subscriptions,
    callRate: limits.calls,
    calls: socketCalls(methods, permits, engine.memory),
    sessions: engine.sessions,
    openFrameAccount: frameAccounts(bodies, untrusted, socketLimits.maxCallFrameBytes),
    admit: (request) => limiter.admitSocket(originOf(request), permits.isExempt(factsOf(request))),
    allowsOrigin: (request) => callers.allowsOrigin(factsOf(request)),
    ...socketIdentification(permits),
    require: engine.require,
  });
  const door = createSocketDoor({ ...workers, bodies, onOdd: (message) => logger.warn(message) });
  const allowedOrigins = options.workerAllowedOrigins ?? [];
  const upgradeWorker = createWorkerUpgrade({ door, permits, limiter, allowedOrigins });
  const portLimits = {
    admitConnection: connectionAdmission(limiter),
    unsettled: new FairSet<Socket>(
      Math.min(limits.maxUnsettledConnections, affordableConnections()),
    ),
  };
  const listener = await listenOn(host, port, {
    onRequest: handler,
    ...portLimits,
    onStream: createStreamHandler({
      handlers,
      unaryMethods: methods,
      permits,
      draining: draining.signal,
      bodies,
    }),
    onUpgrade: (request, socket, head) =>
      upgradeWorker(request, socket, head) || bridge.upgrade(request, socket, head),
  });
  let workerPort: WorkerPort | undefined;
  if (options.workerPort !== undefined) {
    const upgrade = createWorkerUpgrade({ door, permits, limiter, allowedOrigins }, "");
    const opening = openWorkerPort(host, options.workerPort, upgrade, portLimits);
    workerPort = await explainListenError(opening, host, options.workerPort).catch(
      async (error: unknown) => {
        await listener.close(0);
        throw error;
      },
    );
  }
  health.set("serving");
  // While the store accepts no writes, load balancers should send callers elsewhere.
  const watch = setInterval(() => {
    health.set(engine.store.failure === undefined ? "serving" : "not_serving");
  }, HEALTH_INTERVAL_MS);
  watch.unref();

  let closed: Promise<void> | undefined;
  const drainDelay = createDrainDelay();
  const close = async () => {
    clearInterval(watch);
    health.set("not_serving");
    if (drainDelayMs > 0) {
      listener.closeAfterResponses();
      await drainDelay.over;
      await listener.sendAway();
    }
    const finished = listener.close(CLOSE_GRACE_MS);
    bridge.close();
    engine.drain();
    health.close();
    draining.abort(shuttingDown());
    // Functions finish while calls do, and workers stay connected as long as functions are needed.
    const settled = engine.settle().then(() => {
      workers.directory.close();
      door.close();
      return workerPort?.close(WORKER_GRACE_MS);
    });
    await Promise.all([finished, settled]);
    await withinGrace(closeAll(), logger);
  };
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${listener.port}`,
    port: listener.port,
    workerPort: workerPort?.port,
    service: toLibrary(engine),
    close(closing = {}) {
      drainDelay.endWithin(closing.drainDelayMs ?? drainDelayMs);
      return (closed ??= close());
    },
  };
}

/** Gives up on a store that hangs while it closes: unflushed writes were never acknowledged. */
async function withinGrace(closing: Promise<void>, logger: Logger): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      logger.error(`the store did not close within ${FLUSH_GRACE_MS} ms; stopping without it`);
      resolve();
    }, FLUSH_GRACE_MS);
  });
  await Promise.race([closing, late]);
  clearTimeout(timer);
}

/** The configured tokens, or the one of the token file. */
async function tokensOf(
  { apiTokens = [], apiTokenFile: file }: ServerOptions,
  logger: Logger,
): Promise<readonly string[]> {
  if (apiTokens.length > 0 || file === undefined) return apiTokens;
  const { token, isNew } = await readTokenFile(file);
  if (isNew)
    logger.warn(
      { file },
      `created the token of trusted callers, which is shown only once: ${token}`,
    );
  return [token];
}

async function resolveStore(
  { store, idempotencyWindowMs, coordinator }: ServerOptions,
  history: HistoryOf,
  logger: Logger,
): Promise<OpenedStore> {
  if (store !== undefined && "run" in store)
    return { store, coordinator: coordinator ?? localCoordinator() };
  return openStore(
    store ?? { kind: "file_based", folder: DEFAULT_FOLDER },
    { history, idempotencyWindowMs },
    (level, message, details) => logger[level](details ?? {}, message),
  );
}

function listenOn(host: string, port: number, listeners: PortListeners): Promise<Listener> {
  return explainListenError(listen(host, port, listeners), host, port);
}

/** The state that all endpoints for workers share. */
function workersOf(engine: Engine, given: ServerOptions["workerLimits"]): Workers {
  const limits = { ...DEFAULT_WORKER_LIMITS, ...given };
  const { functions, triggerEngine } = engine;
  return {
    host: { functions, triggerEngine, limits },
    directory: createWorkerDirectory(limits.reattachMs),
  };
}
