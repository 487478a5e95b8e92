import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../src/server/config/config.ts";
import { load, problemsOf, tempFolder } from "./loading.ts";

/** A file, the sentence about it, and the line that the sentence names, if not the first. */
const REFUSED: readonly (readonly [string, string, number?])[] = [
  // Names
  ["porrt: 1", "porrt is not a key; did you mean port?"],
  ["hots: a", "hots is not a key; did you mean host?"],
  ["Port: 1", "Port is not a key; did you mean port?"],
  ["apiTokens: []", "apiTokens is not a key; did you mean api_tokens?"],
  [
    "history:\n  max_chnages: 1",
    "history.max_chnages is not a key; did you mean history.max_changes?",
    2,
  ],
  ["max_age: 1h", "max_age is not a key; did you mean history.max_age?"],
  ["filePath: ./x", "filePath is not a key; did you mean adapter.config.file_path?"],
  [
    "history:\n  colour: 1",
    "history.colour is not a key; it may be max_changes, max_age or max_bytes",
    2,
  ],
  ["__proto__: { port: 1 }", "__proto__ is not a key; did you mean port?"],
  // Types and ranges
  ["port: 65536", "port is 65536; it may be an integer from 0 to 65535"],
  ["port: -1", "port is -1; it may be an integer from 0 to 65535"],
  ["port: 1.5", "port is 1.5; it may be an integer from 0 to 65535"],
  ["port: .nan", "port is NaN; it may be an integer from 0 to 65535"],
  ["port: eighty", 'port is "eighty"; it may be an integer from 0 to 65535'],
  ['port: "3112"', 'port is "3112"; it may be an integer from 0 to 65535, without quotes'],
  ["port:", "port has no value; it may be an integer from 0 to 65535"],
  ["port: [1]", "port is a list; it may be an integer from 0 to 65535"],
  ["port: { number: 1 }", "port is a section; it may be an integer from 0 to 65535"],
  ["insecure: yes", 'insecure is "yes"; it may be true or false'],
  ["insecure: 1", "insecure is 1; it may be true or false"],
  [
    "log_level: loud",
    'log_level is "loud"; it may be trace, debug, info, warn, error, fatal or silent',
  ],
  [
    "host: 127",
    "host is 127; it may be an address or name of this machine, such as 127.0.0.1 or 0.0.0.0, without a port, in quotes",
  ],
  [
    "host: http://localhost",
    'host is "http://localhost"; it may be an address or name of this machine, such as 127.0.0.1 or 0.0.0.0, without a port',
  ],
  ["history: 5", "history is 5; it may be a section with max_changes, max_age or max_bytes"],
  ["history:", "history has no value; it may be a section with max_changes, max_age or max_bytes"],
  ["adapter: kv", 'adapter is "kv"; it may be a section with name or config'],
  ["adapter: { name: mongo }", 'adapter.name is "mongo"; it may be kv or redis'],
  [
    "adapter: { config: { store_method: disk } }",
    'adapter.config.store_method is "disk"; it may be file_based or in_memory',
  ],
  [
    "adapter: { config: { file_path: '' } }",
    'adapter.config.file_path is ""; it may be the path of a folder',
  ],
  // Amounts
  [
    "heartbeat_interval: 15",
    "heartbeat_interval is 15; it may be a duration from 10ms to 1d with its unit (ms, s, m, h or d), such as 500ms or 15s",
  ],
  [
    "heartbeat_interval: 1ms",
    'heartbeat_interval is "1ms"; it may be a duration from 10ms to 1d with its unit (ms, s, m, h or d), such as 500ms or 15s',
  ],
  [
    "history:\n  max_age: 1 hour",
    'history.max_age is "1 hour"; it may be a duration from 1ms to 3650d with its unit (ms, s, m, h or d), such as 500ms or 15s',
    2,
  ],
  [
    "subscriber_queue:\n  max_bytes: 8MB",
    'subscriber_queue.max_bytes is "8MB"; it may be a size from 1KiB to 1GiB, such as 64KiB or 8MiB (B, KiB, MiB, GiB, TiB), or a number of bytes',
    2,
  ],
  [
    "subscriber_queue:\n  max_bytes: 10",
    "subscriber_queue.max_bytes is 10; it may be a size from 1KiB to 1GiB, such as 64KiB or 8MiB (B, KiB, MiB, GiB, TiB), or a number of bytes",
    2,
  ],
  [
    "history: { max_changes: 0 }",
    "history.max_changes is 0; it may be an integer from 1 to 1000000000",
  ],
  // Lists
  [
    "api_tokens: s3cret",
    "api_tokens is invalid (not shown); it may be a list, each of text without spaces, in ASCII",
  ],
  [
    "api_tokens: [good, 12345]",
    "api_tokens[1] is invalid (not shown); it may be text without spaces, in ASCII, in quotes",
  ],
  [
    "api_tokens:\n  - ''",
    "api_tokens[0] is invalid (not shown); it may be text without spaces, in ASCII",
    2,
  ],
  ...["https://a.example/", "https://A.example", "https://a.example:443", "a.example", "null"].map(
    (origin) =>
      [
        `allowed_origins:\n  - "*"\n  - "${origin}"`,
        `allowed_origins[1] is "${origin}"; it may be \`*\`, or an origin as browsers send it, such as https://app.example.com, in lower case and without path, final slash or default port`,
        3,
      ] as const,
  ),
  // Gates
  ["auth_function: ''", `auth_function is ""; it may be the id of a function`],
  ["join_gate: maybe", `join_gate is "maybe"; it may be optional or required`],
  // Workers
  [
    "worker_allowed_origins: nobody",
    'worker_allowed_origins is "nobody"; it may be a list, each of `*`, or an origin as browsers send it, such as https://app.example.com, in lower case and without path, final slash or default port',
  ],
  // YAML
  ["port: 1\nhost: a\nport: 2", "port is given twice", 3],
  ["history:\n  max_age: 1h\n  max_age: 2h", "max_age is given twice", 3],
  ["port: 'x", "this is not YAML: Missing closing 'quote"],
  ["port: 1\n\thost: a", "this is not YAML: Tabs are not allowed as indentation", 2],
  [
    "port: [1",
    "this is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]",
  ],
  ["port: !port 1", "this is not YAML: Unresolved tag: !port"],
  ["port: 1\n---\nport: 2", "this is not YAML: Source contains multiple documents", 2],
  ["host: *nowhere", "the configuration has an alias without an anchor before it"],
  ["[".repeat(50_000), "this is nested too deeply"],
  ["- port: 1", "the file may hold keys with values, such as port: 3112"],
  ["port:3112", "the file may hold keys with values, such as port: 3112"],
];

describe("a configuration file", () => {
  it.each(
    REFUSED.map(([yaml, complaint, line = 1]) => ({
      yaml: yaml.slice(0, 80),
      whole: yaml,
      complaint,
      line,
    })),
  )("is refused when it is $yaml", async ({ whole, complaint, line }) => {
    expect(await problemsOf({ yaml: whole })).toEqual([`millrace.yaml:${line}: ${complaint}`]);
  });

  it("is refused with every mistake, line by line", async () => {
    const yaml = "port: 70000\nhistory:\n  max_age: never\n  max_size: 1\nhots: a\nredis_url: x\n";
    const problems = await problemsOf({
      yaml,
      environment: { MILLRACE_LOG_LEVEL: "loud", MILLRACE_POTR: "1" },
    });
    expect(problems.map((problem) => problem.split(" ")[0])).toEqual([
      "millrace.yaml:1:",
      "millrace.yaml:3:",
      "millrace.yaml:4:",
      "millrace.yaml:5:",
      "millrace.yaml:6:",
      "MILLRACE_POTR",
      "MILLRACE_LOG_LEVEL",
    ]);
  });

  it("never has a token shown in sentences about it", async () => {
    const secret = "s3cret";
    for (const yaml of [
      `api_tokens: ${secret}`,
      `api_tokens: [{ a: ${secret} }]`,
      `api_tokens: ["${secret} x"]`,
      `api_token: ${secret}`,
      `api_tokens: ["${secret}" ${secret}]`,
      `api_tokens: [${secret}]\nhost: 0.0.0.0 ${secret}: x`,
    ])
      expect((await problemsOf({ yaml })).join("\n")).not.toContain(secret);
  });

  it("may be empty, or hold comments only", async () => {
    for (const yaml of ["", "# nothing\n", "---\n", "\uFEFFport: 3112", "{}"])
      expect((await load({ yaml })).config.port).toBe(3112);
  });

  it("is refused when it is not UTF-8, or too large", async () => {
    expect(await problemsOf({ yaml: Uint8Array.of(0x23, 0xff) })).toEqual([
      "millrace.yaml is not text in UTF-8",
    ]);
    expect(await problemsOf({ yaml: "#".repeat(1024 * 1024 + 1) })).toEqual([
      "millrace.yaml is larger than 1 MiB; it may be smaller",
    ]);
    expect(await problemsOf({ file: "/dev/zero" })).toEqual([
      "/dev/zero is larger than 1 MiB; it may be smaller",
    ]);
  });

  it("is refused when it expands too many aliases", async () => {
    const lines = ["a: &a0 [x]"];
    for (let n = 1; n <= 9; n++) lines.push(`a${n}: &a${n} [${`*a${n - 1},`.repeat(9)}]`);
    expect(await problemsOf({ yaml: lines.join("\n") })).toEqual([
      "millrace.yaml:1: the configuration expands too many aliases",
    ]);
  });

  it("must exist when it is named, and must be a file", async () => {
    expect(await problemsOf({ file: "missing.yaml" })).toEqual(["missing.yaml does not exist"]);
    expect(await problemsOf({ file: "." })).toEqual([". is a folder; name a file"]);
    expect(await problemsOf({ file: "" })).toEqual([
      "--config has no value; it may be the path of a file",
    ]);
  });

  it("may be absent if it is the default one, but must not be a folder", async () => {
    expect((await load({})).file).toBeUndefined();
    const folder = await tempFolder();
    await mkdir(join(folder, "millrace.yaml"));
    await expect(loadConfig({ folder, environment: {} })).rejects.toThrow(
      "millrace.yaml is a folder; name a file",
    );
  });
});

describe("a configuration", () => {
  it("that opens the service to other machines needs tokens, or insecure: true", async () => {
    const host = "host: 0.0.0.0";
    expect(await problemsOf({ yaml: host })).toEqual([
      expect.stringContaining("host is 0.0.0.0, which other machines can reach"),
    ]);
    await load({ yaml: `${host}\ninsecure: true` });
    await load({ yaml: `${host}\napi_tokens: [s3cret]` });
    await load({ yaml: host, environment: { MILLRACE_API_TOKENS: "s3cret" } });
  });
});
