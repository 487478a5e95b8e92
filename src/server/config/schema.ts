import * as z from "zod";
import { DEFAULT_BRIDGE_LIMITS as BRIDGE } from "../../bridge/limits.ts";
import { DEFAULT_FUNCTION_LIMITS as FUNCTIONS } from "../../functions/function-limits.ts";
import { DEFAULT_TRIGGER_LIMITS as TRIGGERS } from "../../triggers/partition-dispatcher.ts";
import { DEFAULT_CALLER_LIMITS as CALLERS } from "../../limits/caller-limits.ts";
import { isAddressRange } from "../../limits/client-addresses.ts";
import { DEFAULT_MAX_SNAPSHOT_BYTES } from "../../limits/snapshot-memory.ts";
import { DEFAULT_BODY_BYTES_IN_FLIGHT } from "../../limits/body-budget.ts";
import { DEFAULT_IDEMPOTENCY_WINDOW_MS } from "../../core/idempotency.ts";
import { DEFAULT_HISTORY } from "../../core/store.ts";
import { DEFAULT_SUBSCRIBER_QUEUE_LIMITS as SUBSCRIBER_QUEUE } from "../../live/frame-queue.ts";
import { DEFAULT_COMMIT_QUEUE_LIMITS as DISK_QUEUE } from "../../stores/lmdb/commit-queue.ts";
import { DEFAULT_PRESENCE_TIMEOUT_MS } from "../../core/coordinator.ts";
import { DEFAULT_PORT } from "../defaults.ts";
import { AUTH } from "./auth-section.ts";
import { ADAPTER } from "./adapter-section.ts";
import { choice, duration, integer, list, size, textKey, toggle } from "./key-types.ts";
import { DURATION, SIZE } from "./units.ts";
import { STREAMS, historyKeys } from "./stream-sections.ts";
import { WEBHOOKS } from "./webhook-sections.ts";

const host = textKey(
  /^[^\s/[\]]+$/,
  "an address or name of this machine, such as 127.0.0.1 or 0.0.0.0, without a port",
  "Address to listen on. One that other machines reach needs `api_tokens`, `api_token_file`, `auth.keys`, `auth.jwt`, or `insecure: true`.",
);

const history = historyKeys();

/** The form of a function id; its length in bytes is checked when the function is called. */
const NAME = /^(?!.*\p{Cc}).{1,256}$/su;

// A caller sends it in a header after "Bearer", so it is limited to ASCII without spaces.
const token = textKey(/^[\x21-\x7e]+$/, "text without spaces, in ASCII", "A token.");

const origin = textKey(
  /^\*$|^(?!.*:\/\/.*[A-Z])(?!https:.*:443$)(?!http:.*:80$)[a-z][a-z0-9+.-]*:\/\/[^\s/?#@]+$/,
  "`*`, or an origin as browsers send it, such as https://app.example.com, in lower case and without path, final slash or default port",
  "An origin.",
);

const addressRange = textKey(
  /^[\da-fA-F:./]+$/,
  "an IP address, or a range of them such as 10.0.0.0/8 or fd00::/8",
  "An address or a range.",
  { accepts: isAddressRange },
);

/**
 * Every key of the configuration: the one source of types, defaults, checks, the JSON Schema and
 * the documentation. Durations come out in milliseconds, sizes in bytes.
 *
 * A key that is added here can be set in the file and in the environment at once; all that remains
 * is to use it in options.ts.
 */
export const CONFIG = z.strictObject({
  host: host.prefault("127.0.0.1"),
  port: integer(0, 65_535, "Port to listen on; 0 picks a free one.").prefault(DEFAULT_PORT),
  worker_port: integer(
    0,
    65_535,
    "Separate port for workers that speak the protocol of iii; 0 picks a free one. They can also connect at `/worker` of `port`.",
    { absent: "none" },
  ).optional(),
  worker_allowed_origins: list(
    origin,
    "Origins of the web pages that may be workers; `*` is any.",
  ).prefault([]),
  adapter: ADAPTER,
  api_tokens: list(
    token,
    "Keys of programs that may do everything. Without any, and without `auth.keys` and `auth.jwt`, callers from this machine are trusted.",
    { secret: true },
  ).prefault([]),
  api_token_file: textKey(
    /^[^\0]+$/,
    "the path of a file",
    "File that holds the token of trusted callers when there are no `api_tokens`. A missing file is created with a random token, which is logged once.",
    { absent: "none" },
  ).optional(),
  auth: AUTH,
  insecure: toggle("Trusts everybody who reaches the port.").prefault(false),
  allowed_origins: list(
    origin,
    "Origins of the web pages that may follow streams, call with tokens of users, and read responses; `*` is any.",
    { absent: "every loopback origin" },
  ).optional(),
  public_url: textKey(
    /^https?:\/\/[^\s/?#@]+(?:\/[^\s?#]*)?$/,
    "a URL of http or https without query, such as https://streams.example.com",
    "URL of the service as browsers see it. Pages of its origin may follow streams and read responses.",
    { absent: "none" },
  ).optional(),
  auth_function: textKey(
    NAME,
    "the id of a function",
    "Function that decides who the callers without a key or an accepted token are, and what they may do.",
    { absent: "none: they are anonymous" },
  ).optional(),
  join_gate: choice(
    ["optional", "required"],
    "Whether subscriptions are refused as long as no join gate is registered.",
  ).prefault("optional"),
  write_gate: choice(
    ["optional", "required"],
    "Whether a write or send of a user is refused when no registered write gate matches it.",
  ).prefault("optional"),
  gate_timeout: duration(
    "10ms",
    "1m",
    "How long `auth_function` and the gates may take; after that the caller is refused.",
  ).prefault("5s"),
  function_timeout: duration(
    "10ms",
    "1d",
    "How long a call of a function may take, unless the call sets a timeout.",
  ).prefault(DURATION.format(FUNCTIONS.timeoutMs)),
  registry_timeout: duration(
    "1s",
    "10m",
    "How long a process may be cut off from its fleet before it refuses joins and handshakes, and before the others remove it.",
  ).prefault("10s"),
  history: z
    .strictObject({
      max_changes: history.max_changes.prefault(DEFAULT_HISTORY.maxChanges),
      max_age: history.max_age.prefault(DURATION.format(DEFAULT_HISTORY.maxAgeMs)),
      max_bytes: history.max_bytes.prefault(SIZE.format(DEFAULT_HISTORY.maxBytes)),
    })
    .prefault({}),
  streams: STREAMS.prefault({}),
  idempotency_window: duration(
    "1s",
    "3650d",
    "How long a group remembers an idempotency key, so that a repetition of its write changes nothing. A group remembers at most 10,000.",
  ).prefault(DURATION.format(DEFAULT_IDEMPOTENCY_WINDOW_MS)),
  heartbeat_interval: duration(
    "10ms",
    "1d",
    "Longest silence of a subscription before a heartbeat is sent.",
  ).prefault("15s"),
  subscriber_queue: z
    .strictObject({
      max_bytes: size(
        "1KiB",
        "1GiB",
        "Most bytes that are queued for one slow subscriber.",
      ).prefault(SIZE.format(SUBSCRIBER_QUEUE.maxBytes)),
      max_frames: integer(
        1,
        1_000_000,
        "Most frames that are queued for one slow subscriber.",
      ).prefault(SUBSCRIBER_QUEUE.maxFrames),
    })
    .prefault({}),
  stall_timeout: duration(
    "10ms",
    "1d",
    "How long a subscriber may read nothing before its subscription is closed.",
  ).prefault("60s"),
  drain_delay: duration(
    "0s",
    "10m",
    "How long the service continues to serve after SIGTERM or SIGINT, new calls included, while its health reports `not_serving`. A second signal ends the delay.",
    { absent: "5s with Redis where there is no terminal, else 0s" },
  ).optional(),
  ping_interval: duration(
    "100ms",
    "1h",
    "How often a silent WebSocket is pinged; two missed pongs close it.",
  ).prefault(DURATION.format(BRIDGE.pingIntervalMs)),
  presence_timeout: duration(
    "100ms",
    "1h",
    "How long a client of a WebSocket that said `hello` may take to come back after it lost its connection, before its subscriptions leave and the items bound to its connection are deleted. The same in every process of a fleet.",
  ).prefault(DURATION.format(DEFAULT_PRESENCE_TIMEOUT_MS)),
  // A frame is one string, and Node's strings end at 512 MiB.
  max_sync_bytes: size(
    "1KiB",
    "256MiB",
    "Largest snapshot that a WebSocket receives as one frame.",
  ).prefault(SIZE.format(BRIDGE.maxSyncBytes)),
  limits: z
    .strictObject({
      max_function_calls: integer(
        1,
        1_000_000,
        "Most calls of functions in flight; more fail with `overloaded`.",
      ).prefault(FUNCTIONS.maxInFlight),
      max_calls_per_function: integer(
        1,
        1_000_000,
        "Most calls of one function in flight; more fail with `overloaded`.",
      ).prefault(FUNCTIONS.maxInFlightPerFunction),
      max_trigger_calls: integer(
        1,
        10_000,
        "Most concurrent calls of one trigger, over all groups.",
      ).prefault(TRIGGERS.maxConcurrent),
      max_trigger_backlog: integer(
        1,
        10_000_000,
        "Most events that are queued for one trigger; beyond it the oldest become dead letters.",
      ).prefault(TRIGGERS.maxBacklog),
      // Longer queues of the embedded store would block the process.
      max_waiting_writes: integer(
        1,
        300_000,
        "Most writes that are queued for the store; more are refused with `OVERLOADED`.",
      ).prefault(DISK_QUEUE.maxWaiting),
      max_waiting_bytes: size(
        "4MiB",
        "1TiB",
        "Most bytes of values that are queued for the store; more are refused with `OVERLOADED`.",
      ).prefault(SIZE.format(DISK_QUEUE.maxWaitingBytes)),
      max_body_bytes_in_flight: size(
        "8MiB",
        "64GiB",
        "Most bytes of requests, frames and webhook responses in memory while they arrive; more are refused with `OVERLOADED`.",
      ).prefault(SIZE.format(DEFAULT_BODY_BYTES_IN_FLIGHT)),
      max_socket_subscriptions: integer(
        1,
        100_000,
        "Most subscriptions of one WebSocket.",
      ).prefault(BRIDGE.maxSubscriptions),
      max_socket_frame_bytes: size(
        "1KiB",
        "4MiB",
        "Largest frame that a WebSocket client may send.",
      ).prefault(SIZE.format(BRIDGE.maxFrameBytes)),
      max_socket_malformed_frames: integer(
        1,
        1_000_000,
        "Malformed frames after which a WebSocket is closed.",
      ).prefault(BRIDGE.maxMalformedFrames),
      max_socket_frames_per_second: integer(
        1,
        1_000_000,
        "Sustained rate of frames, per second, that a WebSocket client may send.",
      ).prefault(BRIDGE.maxFramesPerSecond),
      max_socket_frame_burst: integer(
        1,
        1_000_000,
        "Frames that a WebSocket client may send in a burst.",
      ).prefault(BRIDGE.maxFrameBurst),
      max_snapshot_bytes_in_flight: size(
        "1MiB",
        "1TiB",
        "Total memory of snapshots that subscribers have not read; beyond it, sockets of the address that holds the most are cut, or new subscriptions are refused with `OVERLOADED`.",
      ).prefault(SIZE.format(DEFAULT_MAX_SNAPSHOT_BYTES)),
      trusted_proxies: list(
        addressRange,
        "Addresses of proxies whose `X-Forwarded-For` header names the client. Loopback addresses are always trusted.",
      ).prefault([]),
      max_connections_per_address: integer(
        1,
        1_000_000,
        "Most open connections of one address; more are refused with `TOO_MANY_CONNECTIONS`.",
      ).prefault(CALLERS.maxConnectionsPerAddress),
      max_unsettled_connections: integer(
        1,
        1_000_000,
        "Most connections, over all addresses, that have sent no request, capped at half of the file descriptors of the process; beyond it the oldest one of the address with the most is closed.",
      ).prefault(CALLERS.maxUnsettledConnections),
      max_calls_per_second: integer(
        1,
        1_000_000,
        "Sustained rate of calls, per second, over one connection; more are refused with `RATE_LIMITED`.",
      ).prefault(CALLERS.calls.perSecond),
      max_call_burst: integer(1, 1_000_000, "Calls in a burst over one connection.").prefault(
        CALLERS.calls.burst,
      ),
      max_subscriptions_per_second: integer(
        1,
        1_000_000,
        "Sustained rate of new subscriptions, per second, over one connection or WebSocket.",
      ).prefault(CALLERS.subscriptions.perSecond),
      max_subscription_burst: integer(
        1,
        1_000_000,
        "New subscriptions in a burst over one connection or WebSocket.",
      ).prefault(CALLERS.subscriptions.burst),
      max_requests_per_second_per_address: integer(
        1,
        1_000_000,
        "Sustained rate of calls, WebSocket handshakes and WebSocket frames, per second, from one address.",
      ).prefault(CALLERS.requestsPerAddress.perSecond),
      max_request_burst_per_address: integer(
        1,
        1_000_000,
        "Calls, WebSocket handshakes and WebSocket frames in a burst from one address.",
      ).prefault(CALLERS.requestsPerAddress.burst),
      limit_trusted_callers: toggle(
        "Whether the rate limits also apply to trusted callers of other machines.",
      ).prefault(CALLERS.limitTrustedCallers),
    })
    .prefault({}),
  functions: WEBHOOKS.prefault([]),
  log_level: choice(
    ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    "Lowest level that is logged on standard error.",
  ).prefault("info"),
});

/** A complete configuration, with defaults filled in. */
export type Config = z.output<typeof CONFIG>;
/** A configuration as written: any key may be absent. */
export type ConfigInput = z.input<typeof CONFIG>;
