import { describe, expect, it } from "vitest";
import { DEFAULT_BRIDGE_LIMITS as SOCKET } from "../../src/bridge/limits.ts";
import { MAX_NAME_BYTES } from "../../src/core/names.ts";
import { DEFAULT_HISTORY } from "../../src/core/store.ts";
import { MAX_VALUE_BYTES, MAX_VALUE_DEPTH } from "../../src/core/value.ts";
import { MAX_WINDOW } from "../../src/core/window.ts";
import { DEFAULT_SUBSCRIBER_QUEUE_LIMITS as SUBSCRIBER_QUEUE } from "../../src/live/frame-queue.ts";
import { PART_LIMITS } from "../../src/live/state-part.ts";
import {
  FREE_INFLATION_BYTES,
  MAX_INFLATION,
  MAX_SMALL_REQUEST_BYTES,
} from "../../src/rpc/request-limits.ts";
import { BODY_TIMEOUT_MS } from "../../src/limits/body-deadlines.ts";
import { MAX_REQUEST_BYTES } from "../../src/rpc/envelope.ts";
import {
  DEFAULT_BODY_BYTES_IN_FLIGHT,
  MAX_UNTRUSTED_CONNECTION_BYTES,
} from "../../src/limits/body-budget.ts";
import { MAX_NESTING } from "../../src/core/nesting.ts";
import { MAX_OPS } from "../../src/core/op-json.ts";
import { DEFAULT_CALLER_LIMITS as CALLER } from "../../src/limits/caller-limits.ts";
import { DEFAULT_MAX_SNAPSHOT_BYTES } from "../../src/limits/snapshot-memory.ts";
import { KEYS } from "../../src/server/config/keys.ts";
import { MAX_MUTATIONS } from "../../src/service/checks.ts";
import { DEFAULT_PRESENCE_TIMEOUT_MS } from "../../src/core/coordinator.ts";
import { DEFAULT_COMMIT_QUEUE_LIMITS as DISK_QUEUE } from "../../src/stores/lmdb/commit-queue.ts";
import { codesOf, readMarkdown, tableAfter } from "./markdown.ts";

const { text } = await readMarkdown("docs/protocol.md");
const rows = new Map(
  tableAfter(text, "Limits").map(([limit = "", value = ""]) => [limit, value] as const),
);

const count = (number: number) => number.toLocaleString("en-US");
const bytes = (number: number) =>
  number >= 1024 * 1024 ? `${number / 1024 / 1024} MiB` : `${number / 1024} KiB`;
const seconds = (ms: number) => (ms >= 3_600_000 ? `${ms / 3_600_000} hour` : `${ms / 1000} s`);

/** Limit -> its value in the code. */
const FACTS: Readonly<Record<string, string>> = {
  "length of a name, or of an event's type": `${MAX_NAME_BYTES} bytes`,
  "size of a value": bytes(MAX_VALUE_BYTES),
  "levels of a value": count(MAX_VALUE_DEPTH),
  "size of a request, before and after decompression": bytes(MAX_REQUEST_BYTES),
  "operations in an update": count(MAX_OPS),
  "mutations in a batch": count(MAX_MUTATIONS),
  "items of a window": count(MAX_WINDOW),
  "one part of a snapshot or replay": `${count(PART_LIMITS.maxCount)} items or ${bytes(PART_LIMITS.maxBytes)}, but at least one item`,
  "history of a group": `${count(DEFAULT_HISTORY.maxChanges)} changes, ${seconds(DEFAULT_HISTORY.maxAgeMs)}, ${bytes(DEFAULT_HISTORY.maxBytes)}`,
  "what a subscription holds": `${bytes(SUBSCRIBER_QUEUE.maxBytes)} or ${count(SUBSCRIBER_QUEUE.maxFrames)} frames`,
  "snapshots that subscribers have not read, in all": bytes(DEFAULT_MAX_SNAPSHOT_BYTES),
  "writes that wait for the store": `${count(DISK_QUEUE.maxWaiting)}, or ${bytes(DISK_QUEUE.maxWaitingBytes)} of values`,
  "the same of a request without values: reads, `Delete`, `Subscribe`, health, reflection":
    bytes(MAX_SMALL_REQUEST_BYTES),
  [`how many times as large a compressed message may become, over ${bytes(FREE_INFLATION_BYTES)}`]:
    count(MAX_INFLATION),
  "levels of JSON from outside, with all that is around a value": count(MAX_NESTING),
  "bytes of requests, frames and responses of webhooks that are held while they arrive, inflated ones included": `${bytes(DEFAULT_BODY_BYTES_IN_FLIGHT)}; more get \`OVERLOADED\``,
  "the same of callers that are not trusted, on one connection": bytes(
    MAX_UNTRUSTED_CONNECTION_BYTES,
  ),
  "time for the body of a request, or one message of a stream, to arrive": seconds(BODY_TIMEOUT_MS),
};

const socketRows = tableAfter(text, "Limits of a socket").map(([, value = "", key = ""]) => [
  codesOf(key)[0] ?? "",
  value,
]);

/** Limits of a WebSocket, by key. */
const SOCKET_FACTS: Readonly<Record<string, string>> = {
  "limits.max_socket_subscriptions": count(SOCKET.maxSubscriptions),
  "limits.max_socket_frame_bytes": bytes(SOCKET.maxFrameBytes),
  "limits.max_socket_malformed_frames": count(SOCKET.maxMalformedFrames),
  "limits.max_socket_frames_per_second": count(SOCKET.maxFramesPerSecond),
  "limits.max_socket_frame_burst": count(SOCKET.maxFrameBurst),
  max_sync_bytes: bytes(SOCKET.maxSyncBytes),
  ping_interval: seconds(SOCKET.pingIntervalMs),
  presence_timeout: seconds(DEFAULT_PRESENCE_TIMEOUT_MS),
};

/** Limits of a caller, by key. */
const CALLER_FACTS: Readonly<Record<string, string>> = {
  "limits.max_connections_per_address": count(CALLER.maxConnectionsPerAddress),
  "limits.max_unsettled_connections": count(CALLER.maxUnsettledConnections),
  "limits.max_calls_per_second": count(CALLER.calls.perSecond),
  "limits.max_call_burst": count(CALLER.calls.burst),
  "limits.max_subscriptions_per_second": count(CALLER.subscriptions.perSecond),
  "limits.max_subscription_burst": count(CALLER.subscriptions.burst),
  "limits.max_requests_per_second_per_address": count(CALLER.requestsPerAddress.perSecond),
  "limits.max_request_burst_per_address": count(CALLER.requestsPerAddress.burst),
};

describe("the limits in docs/protocol.md", () => {
  it.each(Object.entries(FACTS))("%s: %s", (limit, value) => {
    expect(rows.get(limit)).toBe(value);
  });

  it("match the limits of a socket", () => {
    expect(Object.fromEntries(socketRows)).toEqual(SOCKET_FACTS);
  });

  it("match the limits of a caller", () => {
    const callerRows = tableAfter(text, "Limits of a caller").map(([, value = "", key = ""]) => [
      codesOf(key)[0] ?? "",
      value,
    ]);
    expect(Object.fromEntries(callerRows)).toEqual(CALLER_FACTS);
  });

  it("name existing configuration keys", () => {
    const keys = tableAfter(text, "Limits").flatMap(([, , key = ""]) => codesOf(key));
    const named = [...keys, ...Object.keys(SOCKET_FACTS), ...Object.keys(CALLER_FACTS)];
    const names = KEYS.map(({ name }) => name);
    const missing = named.filter(
      (key) => !names.some((name) => name === key || name.startsWith(key.replace(/\*$/, ""))),
    );
    expect(missing).toEqual([]);
    expect(keys.length).toBeGreaterThan(0);
  });
});
