import { describe, expect, it } from "vitest";
import { load, problemsOf } from "./loading.ts";

/** An engine's file with a configuration of its entry for streams. */
const engine = (config: string) =>
  `port: \${ENGINE_PORT}
workers:
  - name: iii-http
    config: { port: \${HTTP_PORT}, host: 0.0.0.0 }
  - name: iii-stream
    config:
${config.replaceAll(/^/gm, "      ")}
  - name: iii-exec
    config: { exec: ["bash -c 'echo \${x[@]} \${y'"] }
`;

describe("the file of an iii engine", () => {
  it("configures by its entry for streams, and has placeholders resolved only there", async () => {
    const { config, warnings, originOf } = await load({
      yaml: engine(
        [
          "port: ${STREAM_PORT:3112}",
          "host: 127.0.0.1",
          "adapter:",
          "  name: kv",
          "  config: { store_method: file_based, file_path: ./data/stream_store, save_interval_ms: 5000 }",
        ].join("\n"),
      ),
      environment: { STREAM_PORT: "4000" },
    });
    expect(config).toMatchObject({
      port: 4000,
      host: "127.0.0.1",
      adapter: {
        name: "kv",
        config: { store_method: "file_based", file_path: "./data/stream_store" },
      },
    });
    expect(warnings).toEqual([
      "the file of an iii engine has settings that are ignored here: iii-http; iii-exec; save_interval_ms of iii-stream; port at the top, because it needs the environment variable ENGINE_PORT, which is not set; set it, or give it a default: ${ENGINE_PORT:default}",
    ]);
    const key = { path: ["port"] } as unknown as Parameters<typeof originOf>[0];
    expect(originOf(key)).toBe("millrace.yaml:7");
  });

  it.each([
    ["workers", "name: iii-stream", "name: kv"],
    [
      "modules",
      "class: modules::stream::StreamModule",
      "class: modules::stream::adapters::KvStore",
    ],
    [
      "modules",
      "class: modules::streams::StreamModule",
      "class: modules::streams::adapters::KvStore",
    ],
    ["workers", "class: modules::streams::StreamModule", "class: KvStore"],
    ["modules", "name: iii-stream", "name: kv"],
  ])("is recognised by %s with %s and an adapter with %s", async (list, entry, adapter) => {
    const yaml = `${list}:
- ${entry}
  config: { port: 1, adapter: { ${adapter}, config: { store_method: in_memory, channel_size: 9, save_interval_ms: 1 } } }
`;
    const { config, warnings } = await load({ yaml });
    expect(config).toMatchObject({
      port: 1,
      adapter: { name: "kv", config: { store_method: "in_memory" } },
    });
    expect(warnings).toEqual([
      "the file of an iii engine has settings that are ignored here: channel_size of iii-stream; save_interval_ms of iii-stream",
    ]);
  });

  it.each([
    "name: redis",
    "class: modules::stream::adapters::RedisAdapter",
    "class: modules::streams::adapters::RedisAdapter",
    "class: RedisAdapter",
  ])("may store data in Redis: an adapter with %s", async (adapter) => {
    const { config, warnings } = await load({
      yaml: engine(
        `adapter: { ${adapter}, config: { redis_url: "\${REDIS_URL:redis://localhost:6379}", save_interval_ms: 1 } }`,
      ),
      environment: { REDIS_URL: "redis://:s3cret@redis.example/2", ENGINE_PORT: "1" },
    });
    expect(config.adapter).toMatchObject({
      name: "redis",
      config: { redis_url: "redis://:s3cret@redis.example/2", key_prefix: "millrace" },
    });
    expect(warnings).toEqual([
      "the file of an iii engine has settings that are ignored here: iii-http; iii-exec; save_interval_ms of iii-stream",
    ]);
  });

  it.each<[string, string, number | undefined, string[]]>([
    [
      "set in its config",
      "workers:\n- name: iii-worker-manager\n  config: { port: 7001, host: 0.0.0.0, middleware_function_id: f }\n- name: iii-stream",
      7001,
      ["host of iii-worker-manager", "middleware_function_id of iii-worker-manager"],
    ],
    [
      "set by a variable",
      "workers:\n- name: iii-stream\n- name: iii-worker-manager\n  config:\n    port: ${WORKERS}",
      7002,
      [],
    ],
    [
      "set in an older file, with modules",
      "modules:\n- name: iii-worker-manager\n  config: { port: 7003 }\n- class: modules::stream::StreamModule",
      7003,
      [],
    ],
    [
      "not set, so the default of an engine",
      "workers:\n- name: iii-worker-manager\n- name: iii-stream",
      49134,
      [],
    ],
    [
      "set to null, so the default of an engine",
      "workers:\n- name: iii-worker-manager\n  config: { port: ~ }\n- name: iii-stream",
      49134,
      [],
    ],
    [
      "set twice, so the first one",
      "workers:\n- { name: iii-worker-manager, config: { port: 1 } }\n- { name: iii-worker-manager, config: { port: 2 } }\n- name: iii-stream",
      1,
      ["iii-worker-manager"],
    ],
    [
      "set twice, so the first one without rbac",
      "workers:\n- { name: iii-worker-manager, config: { port: 1, rbac: { auth_function_id: f } } }\n- { name: iii-worker-manager, config: { port: 2 } }\n- name: iii-stream",
      2,
      ["iii-worker-manager"],
    ],
    [
      "set only with rbac, so none",
      "workers:\n- { name: iii-worker-manager, config: { port: 1, rbac: {} } }\n- name: iii-stream",
      undefined,
      ["iii-worker-manager"],
    ],
    [
      "set at the top of the file, too",
      "port: 1\nworkers:\n- { name: iii-worker-manager, config: { port: 2 } }\n- name: iii-stream",
      2,
      ["port at the top"],
    ],
    [
      "set in the entry for streams, too, which takes precedence",
      "workers:\n- { name: iii-worker-manager, config: { port: 2 } }\n- name: iii-stream\n  config: { worker_port: 3 }",
      3,
      ["port of iii-worker-manager, as iii-stream has worker_port"],
    ],
    [
      "set to a variable that is not set, so none",
      "workers:\n- { name: iii-worker-manager, config: { port: '${UNSET}' } }\n- name: iii-stream",
      undefined,
      [
        "port of iii-worker-manager, because it needs the environment variable UNSET, which is not set; set it, or give it a default: ${UNSET:default}",
      ],
    ],
  ])("has the port of iii-worker-manager for workers: %s", async (_, yaml, port, ignored) => {
    const { config, warnings } = await load({ yaml, environment: { WORKERS: "7002" } });
    expect(config.worker_port).toBe(port);
    expect(warnings).toEqual(
      ignored.length === 0
        ? []
        : [`the file of an iii engine has settings that are ignored here: ${ignored.join("; ")}`],
    );
  });

  it("names every setting without effect in one warning", async () => {
    const { warnings } = await load({
      yaml: "namespace: shop\nport: 5\nworkers:\n- name: iii-stream\n  config: { adapter: { name: kv, config: { save_interval_ms: 1 } } }\n- class: modules::api::ApiModule\n- name: iii-cron\n- 5",
    });
    expect(warnings).toEqual([
      "the file of an iii engine has settings that are ignored here: modules::api::ApiModule; iii-cron; workers 3; namespace at the top; save_interval_ms of iii-stream",
    ]);
  });

  it("names the line of an invalid port for workers", async () => {
    const yaml =
      "workers:\n- name: iii-worker-manager\n  config:\n    port: many\n- name: iii-stream";
    expect(await problemsOf({ yaml })).toEqual([
      'millrace.yaml:4: workers[0].config.port is "many"; it may be an integer from 0 to 65535',
    ]);
  });

  it("may leave everything to the defaults, even with null", async () => {
    const defaults = (await load({})).config;
    for (const yaml of [
      "workers:\n  - name: iii-stream",
      "workers:\n  - name: iii-stream\n    config:",
      engine("auth_function: null\nadapter: ~\nport:"),
      engine("adapter: { name: kv, config: ~ }"),
    ])
      expect((await load({ yaml })).config).toEqual(defaults);
  });

  it("may hold our own keys in the entry", async () => {
    const { config } = await load({ yaml: engine("history: { max_age: 2h }\napi_tokens: [a]") });
    expect(config).toMatchObject({ history: { max_age: 7_200_000 }, api_tokens: ["a"] });
  });

  it("may use anchors from outside of the entry", async () => {
    const { config } = await load({
      yaml: "shared: &shared { port: ${STREAM_PORT:5} }\nworkers: [{ name: iii-stream, config: *shared }]",
    });
    expect(config.port).toBe(5);
  });

  it.each([
    ["prot: 1", "7: prot is not a key; did you mean port?"],
    [
      "registry_timeout: 1",
      "7: registry_timeout is 1; it may be a duration from 1s to 10m with its unit (ms, s, m, h or d), such as 500ms or 15s",
    ],
    [
      "adapter:\n  name: kv\n  config:\n    redis_url: redis://localhost",
      "10: adapter.config.redis_url has no effect while adapter.name is kv (millrace.yaml:8); remove it, or set adapter.name to redis",
    ],
    [
      "adapter:\n  class: modules::stream::adapters::RedisAdapter\n  config: { file_path: ./data }",
      "9: adapter.config.file_path has no effect while adapter.name is redis (millrace.yaml:7); remove it, or set adapter.name to kv",
    ],
    [
      "adapter:\n  class: ${UNSET}\n  config: { redis_url: redis://localhost }",
      "8: adapter.class needs the environment variable UNSET, which is not set; set it, or give it a default: ${UNSET:default}",
    ],
    [
      "adapter: { name: 'redis://:s3cret@localhost' }",
      '7: adapter.name is "redis://(hidden)@localhost"; it may be kv or redis',
    ],
    [
      "adapter:\n  name: bridge",
      "8: adapter.name is bridge: a bridge forwards everything to another engine; here it may be kv or redis",
    ],
    [
      "adapter:\n  class: modules::stream::adapters::Bridge",
      "8: adapter.class is Bridge: a bridge forwards everything to another engine; here it may be kv or redis",
    ],
    ["adapter: { name: mongo }", '7: adapter.name is "mongo"; it may be kv or redis'],
    [
      "adapter: { class: 'a::Mongo' }",
      '7: adapter.class is "a::Mongo"; it may be one that ends with KvStore or RedisAdapter',
    ],
    [
      "adapter: { class: a::KvStore, name: kv }",
      "7: adapter.class is set beside name; one of them is enough",
    ],
    [
      "adapter: { name: kv, confg: {} }",
      "7: adapter.confg is not a key; did you mean adapter.config?",
    ],
    [
      "port: ${UNSET}",
      "7: port needs the environment variable UNSET, which is not set; set it, or give it a default: ${UNSET:default}",
    ],
  ])("is refused when the entry has %s", async (config, problem) => {
    expect(await problemsOf({ yaml: engine(config) })).toEqual([`millrace.yaml:${problem}`]);
  });

  it.each([
    [
      "workers:\n  - name: iii-http",
      "1: workers has no entry for streams; one has name: iii-stream, or class: modules::stream::StreamModule",
    ],
    [
      "workers: 5",
      "1: workers has no entry for streams; one has name: iii-stream, or class: modules::stream::StreamModule",
    ],
    [
      "workers:\n  - name: iii-stream\n  - name: iii-stream",
      "3: workers[1] is a second entry for streams; one is enough",
    ],
    [
      "api_tokens: [a]\nworkers: [{ name: iii-stream }]",
      "1: api_tokens has no effect here; move it into the config of the entry for streams",
    ],
    [
      "workers: [{ name: iii-stream }]\nregistry_timeout: 5s",
      "2: registry_timeout has no effect here; move it into the config of the entry for streams",
    ],
    [
      "workers: [{ name: iii-stream }]\nauth_function: f",
      "2: auth_function has no effect here; move it into the config of the entry for streams",
    ],
  ])("is refused when it is %j", async (yaml, problem) => {
    expect(await problemsOf({ yaml })).toEqual([`millrace.yaml:${problem}`]);
  });
});
