import { describe, expect, it } from "vitest";
import { reportOf } from "../../../src/server/config/report.ts";
import { toServerOptions } from "../../../src/server/config/options.ts";
import type { ConfigInput } from "../../../src/server/config/schema.ts";
import { REDIS_URL_FORMS } from "../../../src/redis/redis-url.ts";
import { type Given, load, problemsOf } from "./loading.ts";

const PASSWORD = "s3cret";
const URL_WRONG = `adapter.config.redis_url is invalid (not shown); it may be ${REDIS_URL_FORMS}`;
const PREFIX_MAY =
  "it may be 1 to 64 characters, each a letter from a to z, a digit or one of `_`, `-`, `.` and `:`";
const DURATION_MAY = "with its unit (ms, s, m, h or d), such as 500ms or 15s";

const VARIABLE = "MILLRACE_ADAPTER_CONFIG_REDIS_URL";

/** A file with one key of the adapter for Redis. */
const fileOf = (key: string, value: unknown) =>
  `adapter:\n  name: redis\n  config:\n    ${key}: ${JSON.stringify(value)}\n`;

/** The sentence about a key of another adapter. */
const noEffect = (adapter: string, origin: string) => {
  const other = adapter === "kv" ? "redis" : "kv";
  return `has no effect while adapter.name is ${adapter} (${origin}); remove it, or set adapter.name to ${other}`;
};

async function storeOf(given: Given): Promise<unknown> {
  return toServerOptions((await load(given)).config).store;
}

describe("the adapter redis", () => {
  const queue = { maxWaiting: 100_000, maxWaitingBytes: 268_435_456 };

  it("has a default for every key", async () => {
    expect(await storeOf({ yaml: "adapter: { name: redis }" })).toEqual({
      kind: "redis",
      url: "redis://127.0.0.1:6379",
      keyPrefix: "millrace",
      minReplicas: 0,
      timeoutMs: 5000,
      registryTimeoutMs: 10_000,
      queue,
    });
  });

  it("is configured by a file, and its URL by a variable that the file names", async () => {
    const yaml = `
adapter:
  name: redis
  config:
    redis_url: \${REDIS_URL}
    key_prefix: chat_1-a.b:c
    min_replicas: 2
    redis_timeout: 500ms
registry_timeout: 1m
limits: { max_waiting_writes: 5, max_waiting_bytes: 8MiB }
`;
    const url = `rediss+sentinel://app:${PASSWORD}@[::1]:1,b/main/3?sentinel_password=#x`;
    expect(await problemsOf({ yaml, environment: { REDIS_URL: url } })).toEqual([
      `millrace.yaml:5: ${URL_WRONG}`,
    ]);
    const right = url.replace("#", "%23");
    expect(await storeOf({ yaml, environment: { REDIS_URL: right } })).toEqual({
      kind: "redis",
      url: right,
      keyPrefix: "chat_1-a.b:c",
      minReplicas: 2,
      timeoutMs: 500,
      registryTimeoutMs: 60_000,
      queue: { maxWaiting: 5, maxWaitingBytes: 8_388_608 },
    });
  });

  it.each([
    "redis://localhost",
    "redis://localhost:6380/2",
    "redis://:p%40ss@localhost",
    "rediss://app:secret@redis.example:6380",
    "redis+sentinel://a,b:26380/main",
    "redis+sentinel://a/main/1?sentinel_username=u&sentinel_password=p",
    "rediss+cluster://a,b:7001,[::1]:7002",
  ])("accepts the URL %s", async (url) => {
    expect(await storeOf({ yaml: fileOf("redis_url", url) })).toMatchObject({ url });
  });

  it.each([
    ["redis_url", "", URL_WRONG],
    ["redis_url", 6379, `${URL_WRONG}, in quotes`],
    ["redis_url", "localhost:6379", URL_WRONG],
    ["redis_url", "http://localhost", URL_WRONG],
    ["redis_url", `redis://app:${PASSWORD}@`, URL_WRONG],
    ["redis_url", `redis://app:${PASSWORD}/x@localhost`, URL_WRONG],
    ["redis_url", `redis://:${PASSWORD}@a,b`, URL_WRONG],
    ["redis_url", `redis+sentinel://:${PASSWORD}@a,b`, URL_WRONG],
    ["redis_url", `redis+cluster://:${PASSWORD}@a,b/1`, URL_WRONG],
    ["redis_url", `redis://localhost?password=${PASSWORD}`, URL_WRONG],
    ["redis_url", { url: `redis://:${PASSWORD}@a` }, URL_WRONG],
    ["key_prefix", "", `adapter.config.key_prefix is ""; ${PREFIX_MAY}`],
    ["key_prefix", "a{b}", `adapter.config.key_prefix is "a{b}"; ${PREFIX_MAY}`],
    ["key_prefix", "a b", `adapter.config.key_prefix is "a b"; ${PREFIX_MAY}`],
    ["key_prefix", 5, `adapter.config.key_prefix is 5; ${PREFIX_MAY}, in quotes`],
    [
      "key_prefix",
      "a".repeat(65),
      `adapter.config.key_prefix is "${"a".repeat(59)}...; ${PREFIX_MAY}`,
    ],
    ["min_replicas", -1, "adapter.config.min_replicas is -1; it may be an integer from 0 to 10"],
    ["min_replicas", 11, "adapter.config.min_replicas is 11; it may be an integer from 0 to 10"],
    [
      "redis_timeout",
      "99ms",
      `adapter.config.redis_timeout is "99ms"; it may be a duration from 100ms to 1m ${DURATION_MAY}`,
    ],
    [
      "redis_timeout",
      "61s",
      `adapter.config.redis_timeout is "61s"; it may be a duration from 100ms to 1m ${DURATION_MAY}`,
    ],
    [
      "redis_uri",
      "x",
      "adapter.config.redis_uri is not a key; did you mean adapter.config.redis_url?",
    ],
  ])("is refused with %s: %j", async (key, value, complaint) => {
    expect(await problemsOf({ yaml: fileOf(key, value) })).toEqual([
      `millrace.yaml:4: ${complaint}`,
    ]);
  });

  it("is refused with a registry_timeout out of range, even if the adapter does not use it", async () => {
    for (const value of ["999ms", "11m"])
      expect(await problemsOf({ yaml: `registry_timeout: ${value}` })).toEqual([
        `millrace.yaml:1: registry_timeout is "${value}"; it may be a duration from 1s to 10m ${DURATION_MAY}`,
      ]);
    await load({ yaml: "registry_timeout: 10m" });
  });
});

describe("keys of one adapter", () => {
  const url = "redis://localhost";

  it.each<readonly [string, Given, readonly string[]]>([
    [
      "a file without an adapter",
      {
        yaml: `adapter:\n  config:\n    redis_url: ${url}\n    key_prefix: a\n    min_replicas: 1\n    redis_timeout: 1s`,
      },
      ["3: adapter.config.redis_url", "4: adapter.config.key_prefix"]
        .concat(["5: adapter.config.min_replicas", "6: adapter.config.redis_timeout"])
        .map((place) => `millrace.yaml:${place} ${noEffect("kv", "default")}`),
    ],
    [
      "a file with kv",
      { yaml: `adapter:\n  name: kv\n  config: { redis_url: ${url} }` },
      [`millrace.yaml:3: adapter.config.redis_url ${noEffect("kv", "millrace.yaml:2")}`],
    ],
    [
      "a file with redis",
      { yaml: "adapter:\n  name: redis\n  config:\n    store_method: in_memory\n    file_path: x" },
      [
        `millrace.yaml:4: adapter.config.store_method ${noEffect("redis", "millrace.yaml:2")}`,
        `millrace.yaml:5: adapter.config.file_path ${noEffect("redis", "millrace.yaml:2")}`,
      ],
    ],
    [
      "the environment, without an adapter",
      { environment: { [VARIABLE]: url } },
      [`${VARIABLE} ${noEffect("kv", "default")}`],
    ],
    [
      "the environment, beside a file",
      { yaml: "adapter: { name: kv }", environment: { [VARIABLE]: url } },
      [`${VARIABLE} ${noEffect("kv", "millrace.yaml:1")}`],
    ],
    [
      "a file, beside the environment",
      {
        yaml: "adapter: { config: { file_path: x } }",
        environment: { MILLRACE_ADAPTER_NAME: "redis" },
      },
      [`millrace.yaml:1: adapter.config.file_path ${noEffect("redis", "MILLRACE_ADAPTER_NAME")}`],
    ],
    [
      "a file, beside a flag",
      {
        yaml: `adapter: { name: redis, config: { redis_url: ${url} } }`,
        flags: { adapter: { name: "kv" } } satisfies ConfigInput,
      },
      [`millrace.yaml:1: adapter.config.redis_url ${noEffect("kv", "a flag")}`],
    ],
    [
      "a flag",
      { flags: { adapter: { config: { redis_url: url } } } satisfies ConfigInput },
      [`adapter.config.redis_url ${noEffect("kv", "default")}`],
    ],
    [
      "two sources",
      { yaml: `adapter: { config: { min_replicas: 1 } }`, environment: { [VARIABLE]: url } },
      [
        `millrace.yaml:1: adapter.config.min_replicas ${noEffect("kv", "default")}`,
        `${VARIABLE} ${noEffect("kv", "default")}`,
      ],
    ],
  ])("are refused with the other one: in %s", async (_where, given, problems) => {
    expect(await problemsOf(given)).toEqual(problems);
  });

  it("may be in one source, and the adapter in another", async () => {
    const environment = { [VARIABLE]: url };
    for (const given of [
      { environment, yaml: "adapter: { name: redis }" },
      { environment, flags: { adapter: { name: "redis" } } },
      { environment: { ...environment, MILLRACE_ADAPTER_NAME: "redis" } },
    ] as const)
      expect(await storeOf(given)).toMatchObject({ kind: "redis", url });
  });

  it("are not checked when the adapter itself is invalid", async () => {
    const config = `config: { redis_url: ${url}, file_path: x }`;
    for (const [name, complaint] of [
      ["mongo", 'adapter.name is "mongo"; it may be kv or redis'],
      ["", "adapter.name has no value; it may be kv or redis"],
      [
        "${UNSET}",
        "adapter.name needs the environment variable UNSET, which is not set; set it, or give it a default: ${UNSET:default}",
      ],
    ] as const)
      expect(await problemsOf({ yaml: `adapter:\n  name: ${name}\n  ${config}` })).toEqual([
        `millrace.yaml:2: ${complaint}`,
      ]);
  });
});

describe("the password of Redis", () => {
  it("is hidden in the report, which has only the keys of the adapter in force", async () => {
    const url = `redis://app:${PASSWORD}@localhost`;
    const loaded = await load({
      yaml: "adapter: { name: redis, config: { min_replicas: 1 } }",
      environment: { [VARIABLE]: url },
    });
    const report = reportOf(loaded);
    expect(report).toContain(`adapter:
  name: redis # millrace.yaml:1
  config:
    redis_url: (hidden) # ${VARIABLE}
    key_prefix: millrace # default
    min_replicas: 1 # millrace.yaml:1
    redis_timeout: 5s # default
`);
    expect(report).not.toContain(PASSWORD);
    const again = await load({ yaml: report.replace("(hidden)", JSON.stringify(url)) });
    expect(again.config).toEqual(loaded.config);
  });

  it("is never shown in sentences about mistakes, wherever the URL is", async () => {
    const urls = [
      `redis://app:${PASSWORD}@localhost`,
      `redis+sentinel://a,b/main?sentinel_password=${PASSWORD}`,
      `redis+sentinel://a,b/main?sentinel_password=\\"${PASSWORD}&x=1`,
    ];
    for (const url of urls) {
      for (const key of ["redis_ulr", "key_prefix", "min_replicas", "redis_timeout", "redis_url"]) {
        const value = key === "redis_url" ? `${url}#` : url;
        expect((await problemsOf({ yaml: fileOf(key, value) })).join()).not.toContain(PASSWORD);
      }
      for (const yaml of [
        `adapter: '${url}'`,
        `adapter: { name: '${url}' }`,
        `adapter: { name: redis, config: '${url}' }`,
        `redis_url: '${url}'`,
        `workers: [{ name: iii-stream, config: { adapter: { class: '${url}' } } }]`,
      ])
        expect((await problemsOf({ yaml })).join()).not.toContain(PASSWORD);
      const environment = { [VARIABLE]: `${url}#`, MILLRACE_ADAPTER_NAME: "redis" };
      expect(await problemsOf({ environment })).toEqual([
        `${VARIABLE} ${URL_WRONG.replace("adapter.config.redis_url ", "")}`,
      ]);
    }
  });
});
