import { describe, expect, it } from "vitest";
import { DEFAULT_BRIDGE_LIMITS } from "../../../src/bridge/limits.ts";
import { DEFAULT_CALLER_LIMITS } from "../../../src/limits/caller-limits.ts";
import { toServerOptions } from "../../../src/server/config/options.ts";
import { KEYS } from "../../../src/server/config/keys.ts";
import { load, problemsOf } from "./loading.ts";

describe("flags, environment, file and defaults", () => {
  it("override each other in this order", async () => {
    const yaml = "port: 2\nlog_level: warn\nhistory: { max_changes: 2, max_age: 2h }\n";
    const environment = { MILLRACE_PORT: "3", MILLRACE_HISTORY_MAX_CHANGES: "3" };
    const { config, originOf } = await load({ yaml, environment, flags: { port: 4 } });
    expect(config).toMatchObject({
      port: 4,
      log_level: "warn",
      history: { max_changes: 3, max_age: 7_200_000, max_bytes: 8_388_608 },
    });
    const origins = Object.fromEntries(KEYS.map((key) => [key.name, originOf(key)]));
    expect(origins).toMatchObject({
      port: "a flag",
      log_level: "millrace.yaml:2",
      "history.max_changes": "MILLRACE_HISTORY_MAX_CHANGES",
      "history.max_age": "millrace.yaml:3",
      "history.max_bytes": undefined,
    });
  });

  it("replace lists as a whole", async () => {
    const yaml = "api_tokens: [a, b]\nallowed_origins: [https://a.example]";
    const environment = { MILLRACE_API_TOKENS: "c, d,e" };
    const { config } = await load({ yaml, environment });
    expect(config.api_tokens).toEqual(["c", "d", "e"]);
    expect(config.allowed_origins).toEqual(["https://a.example"]);
  });

  it("are checked even where they are overridden", async () => {
    expect(
      await problemsOf({
        yaml: "port: x",
        environment: { MILLRACE_PORT: "y" },
        flags: { port: 0 },
      }),
    ).toEqual([
      'millrace.yaml:1: port is "x"; it may be an integer from 0 to 65535',
      'MILLRACE_PORT is "y"; it may be an integer from 0 to 65535',
    ]);
  });

  it("give the server its default options when nothing is set", async () => {
    // The protocol fixes the time for a renewal, and the limits of calls.
    const {
      renewalGraceMs: _grace,
      maxCalls: _calls,
      maxCallFrameBytes: _frame,
      maxResultBytes: _results,
      ...configurable
    } = DEFAULT_BRIDGE_LIMITS;
    expect(toServerOptions((await load({})).config)).toEqual({
      host: "127.0.0.1",
      port: 3112,
      store: {
        kind: "file_based",
        folder: "./data",
        queue: { maxWaiting: 100_000, maxWaitingBytes: 268_435_456 },
      },
      history: { maxChanges: 1000, maxAgeMs: 3_600_000, maxBytes: 8_388_608 },
      streams: {},
      idempotencyWindowMs: 600_000,
      apiTokens: [],
      auth: { keys: [], jwt: [], rules: undefined, anonymous: undefined, local: false },
      insecure: false,
      allowedOrigins: undefined,
      workerPort: undefined,
      workerAllowedOrigins: [],
      authFunction: undefined,
      joinGate: "optional",
      writeGate: "optional",
      maxBodyBytesInFlight: 67_108_864,
      gateTimeoutMs: 5000,
      functionLimits: { timeoutMs: 30_000, maxInFlight: 10_000, maxInFlightPerFunction: 1000 },
      triggerLimits: { maxConcurrent: 64, maxBacklog: 100_000 },
      heartbeatIntervalMs: 15_000,
      presenceTimeoutMs: 10_000,
      subscriberQueue: { maxBytes: 1_048_576, maxFrames: 1000 },
      stallTimeoutMs: 60_000,
      bridge: configurable,
      maxSnapshotBytes: 268_435_456,
      callerLimits: DEFAULT_CALLER_LIMITS,
      webhooks: [],
    });
  });
});

describe("the environment", () => {
  it("can set every key except lists and maps of sections", async () => {
    const ofRedis: Record<string, string> = {
      MILLRACE_ADAPTER_CONFIG_REDIS_URL: "redis://redis.example",
      MILLRACE_ADAPTER_CONFIG_KEY_PREFIX: "mine",
      MILLRACE_ADAPTER_CONFIG_MIN_REPLICAS: "1",
      MILLRACE_ADAPTER_CONFIG_REDIS_TIMEOUT: "2s",
    };
    const environment: Record<string, string> = {
      MILLRACE_HOST: "::1",
      MILLRACE_PORT: "1",
      MILLRACE_WORKER_PORT: "22",
      MILLRACE_WORKER_ALLOWED_ORIGINS: "https://w.example",
      MILLRACE_ADAPTER_NAME: "kv",
      MILLRACE_ADAPTER_CONFIG_STORE_METHOD: "in_memory",
      MILLRACE_ADAPTER_CONFIG_FILE_PATH: "/tmp/x",
      MILLRACE_API_TOKENS: "a,b",
      MILLRACE_API_TOKEN_FILE: "/tmp/token",
      MILLRACE_DRAIN_DELAY: "0s",
      MILLRACE_INSECURE: "true",
      MILLRACE_ALLOWED_ORIGINS: "*,https://a.example",
      MILLRACE_PUBLIC_URL: "https://streams.example",
      MILLRACE_AUTH_FUNCTION: "who",
      MILLRACE_AUTH_LOCAL: "true",
      MILLRACE_JOIN_GATE: "required",
      MILLRACE_WRITE_GATE: "required",
      MILLRACE_GATE_TIMEOUT: "1s",
      MILLRACE_FUNCTION_TIMEOUT: "2s",
      MILLRACE_REGISTRY_TIMEOUT: "4s",
      MILLRACE_HISTORY_MAX_CHANGES: "2",
      MILLRACE_HISTORY_MAX_AGE: "3s",
      MILLRACE_HISTORY_MAX_BYTES: "4000",
      MILLRACE_IDEMPOTENCY_WINDOW: "1h",
      MILLRACE_HEARTBEAT_INTERVAL: "5s",
      MILLRACE_SUBSCRIBER_QUEUE_MAX_BYTES: "6KiB",
      MILLRACE_SUBSCRIBER_QUEUE_MAX_FRAMES: "7",
      MILLRACE_STALL_TIMEOUT: "8s",
      MILLRACE_PING_INTERVAL: "9s",
      MILLRACE_PRESENCE_TIMEOUT: "32s",
      MILLRACE_MAX_SYNC_BYTES: "10KiB",
      MILLRACE_LIMITS_MAX_FUNCTION_CALLS: "18",
      MILLRACE_LIMITS_MAX_CALLS_PER_FUNCTION: "19",
      MILLRACE_LIMITS_MAX_TRIGGER_CALLS: "20",
      MILLRACE_LIMITS_MAX_TRIGGER_BACKLOG: "21",
      MILLRACE_LIMITS_MAX_WAITING_WRITES: "11",
      MILLRACE_LIMITS_MAX_WAITING_BYTES: "12MiB",
      MILLRACE_LIMITS_MAX_BODY_BYTES_IN_FLIGHT: "32MiB",
      MILLRACE_LIMITS_MAX_SOCKET_SUBSCRIPTIONS: "13",
      MILLRACE_LIMITS_MAX_SOCKET_FRAME_BYTES: "14KiB",
      MILLRACE_LIMITS_MAX_SOCKET_MALFORMED_FRAMES: "15",
      MILLRACE_LIMITS_MAX_SOCKET_FRAMES_PER_SECOND: "16",
      MILLRACE_LIMITS_MAX_SOCKET_FRAME_BURST: "17",
      MILLRACE_LIMITS_MAX_SNAPSHOT_BYTES_IN_FLIGHT: "31MiB",
      MILLRACE_LIMITS_TRUSTED_PROXIES: "10.0.0.0/8,::2",
      MILLRACE_LIMITS_MAX_CONNECTIONS_PER_ADDRESS: "23",
      MILLRACE_LIMITS_MAX_UNSETTLED_CONNECTIONS: "30",
      MILLRACE_LIMITS_MAX_CALLS_PER_SECOND: "24",
      MILLRACE_LIMITS_MAX_CALL_BURST: "25",
      MILLRACE_LIMITS_MAX_SUBSCRIPTIONS_PER_SECOND: "26",
      MILLRACE_LIMITS_MAX_SUBSCRIPTION_BURST: "27",
      MILLRACE_LIMITS_MAX_REQUESTS_PER_SECOND_PER_ADDRESS: "28",
      MILLRACE_LIMITS_MAX_REQUEST_BURST_PER_ADDRESS: "29",
      MILLRACE_LIMITS_LIMIT_TRUSTED_CALLERS: "true",
      MILLRACE_LOG_LEVEL: "debug",
    };
    expect(Object.keys({ ...environment, ...ofRedis }).toSorted()).toEqual(
      KEYS.flatMap(({ variable }) => variable ?? []).toSorted(),
    );
    const redis = await load({ environment: { ...ofRedis, MILLRACE_ADAPTER_NAME: "redis" } });
    expect(redis.config.adapter).toMatchObject({
      name: "redis",
      config: {
        redis_url: "redis://redis.example",
        key_prefix: "mine",
        min_replicas: 1,
        redis_timeout: 2000,
      },
    });
    const { config, warnings } = await load({ environment });
    expect(warnings).toEqual([]);
    const { config: defaults } = await load({});
    expect(config).toEqual({
      host: "::1",
      port: 1,
      worker_port: 22,
      worker_allowed_origins: ["https://w.example"],
      adapter: {
        name: "kv",
        config: { ...defaults.adapter.config, store_method: "in_memory", file_path: "/tmp/x" },
      },
      api_tokens: ["a", "b"],
      api_token_file: "/tmp/token",
      drain_delay: 0,
      insecure: true,
      allowed_origins: ["*", "https://a.example"],
      public_url: "https://streams.example",
      auth_function: "who",
      auth: { keys: [], jwt: [], local: true },
      join_gate: "required",
      write_gate: "required",
      gate_timeout: 1000,
      function_timeout: 2000,
      registry_timeout: 4000,
      history: { max_changes: 2, max_age: 3000, max_bytes: 4000 },
      streams: {},
      idempotency_window: 3_600_000,
      heartbeat_interval: 5000,
      subscriber_queue: { max_bytes: 6144, max_frames: 7 },
      stall_timeout: 8000,
      ping_interval: 9000,
      presence_timeout: 32_000,
      max_sync_bytes: 10_240,
      limits: {
        max_function_calls: 18,
        max_calls_per_function: 19,
        max_trigger_calls: 20,
        max_trigger_backlog: 21,
        max_waiting_writes: 11,
        max_waiting_bytes: 12_582_912,
        max_body_bytes_in_flight: 33_554_432,
        max_socket_subscriptions: 13,
        max_socket_frame_bytes: 14_336,
        max_socket_malformed_frames: 15,
        max_socket_frames_per_second: 16,
        max_socket_frame_burst: 17,
        max_snapshot_bytes_in_flight: 32_505_856,
        trusted_proxies: ["10.0.0.0/8", "::2"],
        max_connections_per_address: 23,
        max_unsettled_connections: 30,
        max_calls_per_second: 24,
        max_call_burst: 25,
        max_subscriptions_per_second: 26,
        max_subscription_burst: 27,
        max_requests_per_second_per_address: 28,
        max_request_burst_per_address: 29,
        limit_trusted_callers: true,
      },
      functions: [],
      log_level: "debug",
    });
  });

  it.each([
    ["MILLRACE_PORT", "3112x", 'is "3112x"; it may be an integer from 0 to 65535'],
    ["MILLRACE_PORT", "", "is set but empty; unset it, or set it to an integer from 0 to 65535"],
    ["MILLRACE_INSECURE", "yes", 'is "yes"; it may be true or false'],
    [
      "MILLRACE_API_TOKENS",
      "a,,b",
      "is invalid (not shown); it may be text without spaces, in ASCII",
    ],
    ["MILLRACE_CONFIG", "", "is set but empty; unset it, or set it to the path of a file"],
    ["MILLRACE_PROT", "1", "is not a setting; did you mean MILLRACE_PORT?"],
    ["MILLRACE_HEARTBEAT", "1s", "is not a setting; did you mean MILLRACE_HEARTBEAT_INTERVAL?"],
    ["MILLRACE_MAX_AGE", "1s", "is not a setting; did you mean MILLRACE_HISTORY_MAX_AGE?"],
    ["MILLRACE_ADAPTER", "kv", "is not a setting; did you mean MILLRACE_ADAPTER_NAME?"],
    ["MILLRACE_DATA", "x", "is not a setting; did you mean MILLRACE_ADAPTER_CONFIG_FILE_PATH?"],
    [
      "MILLRACE_REDIS_URL",
      "redis://localhost",
      "is not a setting; did you mean MILLRACE_ADAPTER_CONFIG_REDIS_URL?",
    ],
    [
      "MILLRACE_REDIS",
      "redis://localhost",
      "is not a setting; did you mean MILLRACE_ADAPTER_CONFIG_REDIS_URL?",
    ],
  ])("is refused with %s=%s", async (name, value, complaint) => {
    expect(await problemsOf({ environment: { [name]: value } })).toEqual([`${name} ${complaint}`]);
  });

  it("may hold variables of other programs, which cause one warning each", async () => {
    const { warnings } = await load({ environment: { MILLRACE_URL: "http://x", HOME: "/" } });
    expect(warnings).toEqual(["MILLRACE_URL is not a setting and is ignored"]);
  });

  it("may hold variables for the project's scripts, of Kubernetes and for the file itself", async () => {
    const environment = {
      MILLRACE_LONG: "1",
      MILLRACE_SEED: "7",
      MILLRACE_INSTALL: "0",
      MILLRACE_TEST_RESULTS: "x",
      MILLRACE_SERVICE_HOST: "10.0.0.7",
      MILLRACE_SERVICE_PORT: "3112",
      MILLRACE_SERVICE_PORT_GRPC: "3112",
      MILLRACE_PORT: "tcp://10.0.0.7:3112",
      MILLRACE_PORT_3112_TCP: "tcp://10.0.0.7:3112",
      MILLRACE_PORT_3112_TCP_ADDR: "10.0.0.7",
      MILLRACE_API_TOKEN: "s3cret",
    };
    const loaded = await load({ yaml: 'api_tokens: ["${MILLRACE_API_TOKEN}"]', environment });
    expect(loaded.config).toMatchObject({ port: 3112, api_tokens: ["s3cret"] });
    expect(loaded.warnings).toEqual([]);
  });

  it("can name the file, and is overridden by a flag", async () => {
    const environment = { MILLRACE_CONFIG: "from-environment.yaml" };
    expect(await problemsOf({ environment })).toEqual(["from-environment.yaml does not exist"]);
    expect(await problemsOf({ environment, file: "from-flag.yaml" })).toEqual([
      "from-flag.yaml does not exist",
    ]);
  });
});
