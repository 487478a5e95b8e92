import { describe, expect, it } from "vitest";
import { reportOf } from "../../../src/server/config/report.ts";
import { load } from "./loading.ts";

describe("the report on a configuration", () => {
  it("shows every value and its origin, and hides secrets", async () => {
    const loaded = await load({
      yaml: "history:\n  max_age: 90m\napi_tokens: [s3cret, other]\n",
      environment: { MILLRACE_HEARTBEAT_INTERVAL: "1500ms" },
      flags: { port: 0 },
    });
    expect(reportOf(loaded)).toBe(`host: 127.0.0.1 # default
port: 0 # a flag
worker_allowed_origins: [] # default
adapter:
  name: kv # default
  config:
    store_method: file_based # default
    file_path: ./data # default
api_tokens: [ (hidden), (hidden) ] # millrace.yaml:3
auth:
  keys: [] # default
  jwt: [] # default
  local: false # default
insecure: false # default
join_gate: optional # default
write_gate: optional # default
gate_timeout: 5s # default
function_timeout: 30s # default
registry_timeout: 10s # default
history:
  max_changes: 1000 # default
  max_age: 90m # millrace.yaml:2
  max_bytes: 8MiB # default
streams: {} # default
idempotency_window: 10m # default
heartbeat_interval: 1500ms # MILLRACE_HEARTBEAT_INTERVAL
subscriber_queue:
  max_bytes: 1MiB # default
  max_frames: 1000 # default
stall_timeout: 1m # default
ping_interval: 30s # default
presence_timeout: 10s # default
max_sync_bytes: 64MiB # default
limits:
  max_function_calls: 10000 # default
  max_calls_per_function: 1000 # default
  max_trigger_calls: 64 # default
  max_trigger_backlog: 100000 # default
  max_waiting_writes: 100000 # default
  max_waiting_bytes: 256MiB # default
  max_body_bytes_in_flight: 64MiB # default
  max_socket_subscriptions: 1000 # default
  max_socket_frame_bytes: 64KiB # default
  max_socket_malformed_frames: 10 # default
  max_socket_frames_per_second: 200 # default
  max_socket_frame_burst: 2000 # default
  max_snapshot_bytes_in_flight: 256MiB # default
  trusted_proxies: [] # default
  max_connections_per_address: 1000 # default
  max_unsettled_connections: 16384 # default
  max_calls_per_second: 1000 # default
  max_call_burst: 5000 # default
  max_subscriptions_per_second: 100 # default
  max_subscription_burst: 2000 # default
  max_requests_per_second_per_address: 5000 # default
  max_request_burst_per_address: 50000 # default
  limit_trusted_callers: false # default
functions: [] # default
log_level: info # default

# worker_port: none # default
# api_token_file: none # default
# auth.rules: to subscribe, and nothing else # default
# auth.anonymous: to subscribe, or nothing when \`auth.rules\` is set # default
# allowed_origins: every loopback origin # default
# public_url: none # default
# auth_function: none: they are anonymous # default
# drain_delay: 5s with Redis where there is no terminal, else 0s # default
`);
  });

  it("is an equivalent configuration", async () => {
    const yaml = `
host: "::1"
adapter: { config: { file_path: "a b: c # d" } }
allowed_origins: ["*", "https://a.example"]
history: { max_age: 1.1s, max_bytes: 1000 }
`;
    const first = await load({ yaml });
    expect((await load({ yaml: reportOf(first) })).config).toEqual(first.config);
  });
});
