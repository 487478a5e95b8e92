import type { AuthOptions } from "../auth-options.ts";
import type { ServerOptions } from "../server.ts";
import type { StoreOptions } from "../open-store.ts";
import { jwtOptionsOf } from "./auth-section.ts";
import type { Config } from "./schema.ts";
import { streamsOptionsOf } from "./stream-sections.ts";

/**
 * Turns a configuration into options of createServer. The only place that knows both.
 *
 * @param publicKeys Content of the public key files, by the index of their entry in `auth.jwt`.
 * @param schemas Content of the files of schemas, by the pattern of their entry in `streams`.
 */
export function toServerOptions(
  config: Config,
  publicKeys: ReadonlyMap<number, string> = new Map(),
  schemas: ReadonlyMap<string, object | boolean> = new Map(),
) {
  const { history, limits, subscriber_queue: queue } = config;
  return {
    host: config.host,
    port: config.port,
    store: storeOf(config),
    history: {
      maxChanges: history.max_changes,
      maxAgeMs: history.max_age,
      maxBytes: history.max_bytes,
    },
    streams: streamsOptionsOf(config.streams, schemas),
    idempotencyWindowMs: config.idempotency_window,
    apiTokens: config.api_tokens,
    apiTokenFile: config.api_token_file,
    auth: authOf(config, publicKeys),
    insecure: config.insecure,
    allowedOrigins: config.allowed_origins,
    publicUrl: config.public_url,
    workerPort: config.worker_port,
    workerAllowedOrigins: config.worker_allowed_origins,
    authFunction: config.auth_function,
    joinGate: config.join_gate,
    writeGate: config.write_gate,
    gateTimeoutMs: config.gate_timeout,
    functionLimits: {
      timeoutMs: config.function_timeout,
      maxInFlight: limits.max_function_calls,
      maxInFlightPerFunction: limits.max_calls_per_function,
    },
    triggerLimits: {
      maxConcurrent: limits.max_trigger_calls,
      maxBacklog: limits.max_trigger_backlog,
    },
    drainDelayMs: config.drain_delay,
    heartbeatIntervalMs: config.heartbeat_interval,
    presenceTimeoutMs: config.presence_timeout,
    subscriberQueue: { maxBytes: queue.max_bytes, maxFrames: queue.max_frames },
    stallTimeoutMs: config.stall_timeout,
    bridge: {
      maxSubscriptions: limits.max_socket_subscriptions,
      maxFrameBytes: limits.max_socket_frame_bytes,
      maxMalformedFrames: limits.max_socket_malformed_frames,
      maxFramesPerSecond: limits.max_socket_frames_per_second,
      maxFrameBurst: limits.max_socket_frame_burst,
      maxSyncBytes: config.max_sync_bytes,
      pingIntervalMs: config.ping_interval,
    },
    maxSnapshotBytes: limits.max_snapshot_bytes_in_flight,
    callerLimits: {
      trustedProxies: limits.trusted_proxies,
      maxConnectionsPerAddress: limits.max_connections_per_address,
      maxUnsettledConnections: limits.max_unsettled_connections,
      calls: { perSecond: limits.max_calls_per_second, burst: limits.max_call_burst },
      subscriptions: {
        perSecond: limits.max_subscriptions_per_second,
        burst: limits.max_subscription_burst,
      },
      requestsPerAddress: {
        perSecond: limits.max_requests_per_second_per_address,
        burst: limits.max_request_burst_per_address,
      },
      limitTrustedCallers: limits.limit_trusted_callers,
    },
    maxBodyBytesInFlight: limits.max_body_bytes_in_flight,
    webhooks: config.functions.map((webhook) => ({
      id: webhook.id,
      url: webhook.url,
      secret: webhook.secret,
      timeoutMs: webhook.timeout,
      maxAttempts: webhook.max_attempts,
      initialBackoffMs: webhook.initial_backoff,
      allowRedirects: webhook.allow_redirects,
      allowPrivateAddresses: webhook.allow_private_addresses,
    })),
  } satisfies ServerOptions;
}

function authOf({ auth }: Config, publicKeys: ReadonlyMap<number, string>): AuthOptions {
  const keys = auth.keys.map(({ key_sha256: keySha256, ...rest }) => ({ ...rest, keySha256 }));
  const jwt = auth.jwt.map((entry, index) => jwtOptionsOf(entry, publicKeys.get(index)));
  return { keys, jwt, rules: auth.rules, anonymous: auth.anonymous, local: auth.local };
}

function storeOf(config: Config): StoreOptions {
  const { name, config: adapter } = config.adapter;
  const { max_waiting_writes: maxWaiting, max_waiting_bytes: maxWaitingBytes } = config.limits;
  const queue = { maxWaiting, maxWaitingBytes };
  if (name === "redis") {
    return {
      kind: "redis",
      url: adapter.redis_url,
      keyPrefix: adapter.key_prefix,
      minReplicas: adapter.min_replicas,
      timeoutMs: adapter.redis_timeout,
      registryTimeoutMs: config.registry_timeout,
      queue,
    };
  }
  if (adapter.store_method === "in_memory") return { kind: "in_memory" };
  return { kind: "file_based", folder: adapter.file_path, queue };
}
