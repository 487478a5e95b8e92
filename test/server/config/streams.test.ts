import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../src/server/config/config.ts";
import { toServerOptions } from "../../../src/server/config/options.ts";
import { reportOf } from "../../../src/server/config/report.ts";
import { load, problemsOf, tempFolder } from "./loading.ts";

/** Loads a configuration with other files beside it. */
async function loadWith(files: Readonly<Record<string, string>>, yaml: string) {
  const folder = await tempFolder();
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await mkdir(join(folder, "folder"));
  await writeFile(join(folder, "millrace.yaml"), yaml);
  return loadConfig({ environment: {}, folder });
}

async function problemsWith(files: Readonly<Record<string, string>>, yaml: string) {
  try {
    await loadWith(files, yaml);
  } catch (error) {
    return (error as { problems: readonly string[] }).problems;
  }
  return [];
}

const CHAT = `
streams:
  chat: { history: { max_changes: 7, max_age: 1d }, ttl: 30d, max_items: 100, max_value_bytes: 64KiB }
  "logs-*": { authors: true, presence: false }
  "*": {}
`;

describe("the settings of streams in a file", () => {
  it("become options of the server, by pattern", async () => {
    const { config } = await load({ yaml: CHAT });
    expect(toServerOptions(config).streams).toEqual({
      chat: {
        history: { maxChanges: 7, maxAgeMs: 86_400_000 },
        ttlMs: 30 * 86_400_000,
        maxItems: 100,
        maxValueBytes: 65_536,
      },
      "logs-*": { authors: true, presence: false },
      "*": {},
    });
  });

  it("are shown by check-config as an equivalent file, with their origin", async () => {
    const report = reportOf(await load({ yaml: CHAT }));
    const line = report.split("\n").find((each) => each.startsWith("streams:"));
    expect(line).toBe(
      'streams: { chat: { history: { max_changes: 7, max_age: 1d }, ttl: 30d, max_items: 100, max_value_bytes: 64KiB }, logs-*: { presence: false, authors: true }, "*": {} } # millrace.yaml:2',
    );
    expect(reportOf(await load({ yaml: report }))).toContain(line?.replace(/ #.*/, ""));
  });

  it("hide values from placeholders", async () => {
    const yaml = "streams:\n  chat: { ttl: '${TTL}', max_items: ${MOST:5} }";
    const loaded = await load({ yaml, environment: { TTL: "10s" } });
    expect(toServerOptions(loaded.config).streams).toMatchObject({
      chat: { ttlMs: 10_000, maxItems: 5 },
    });
    expect(reportOf(loaded)).toContain("streams: { chat: { ttl: (hidden), max_items: (hidden) } }");
  });

  it("are all checked at once, each mistake with its line", async () => {
    const yaml = `streams:
  "": {}
  a*b: {}
  millrace:x: {}
  "\${NAME}": {}
  a: { max_items: 0, ttl: 500ms, max_value_bytes: 2MiB, presence: 1 }
  b: { maxitems: 1, history: { max_change: 1 } }
  c: 5
  d: { history: [] , ttl: 3651d }
  e:
`;
    expect(await problemsOf({ yaml })).toEqual([
      'millrace.yaml:2: streams."" is empty; it may be the name of a stream, or the beginning of names and a star (`chat-*`), or * for all streams',
      "millrace.yaml:3: streams.a*b has a * before its end; it may end in one *",
      "millrace.yaml:4: streams.millrace:x is about streams of the service itself, whose names begin with millrace:; it may be about any other",
      'millrace.yaml:5: streams."${NAME}" has a placeholder; it may be the name of a stream, or the beginning of names and a star (`chat-*`), or * for all streams',
      expect.stringContaining('streams.a.ttl is "500ms"; it may be a duration from 1s to 3650d'),
      "millrace.yaml:6: streams.a.max_items is 0; it may be an integer from 1 to 1000000000",
      expect.stringContaining(
        'streams.a.max_value_bytes is "2MiB"; it may be a size from 1B to 1MiB',
      ),
      "millrace.yaml:6: streams.a.presence is 1; it may be true or false",
      "millrace.yaml:7: streams.b.history.max_change is not a key; did you mean streams.b.history.max_changes?",
      "millrace.yaml:7: streams.b.maxitems is not a key; did you mean streams.b.max_items?",
      "millrace.yaml:8: streams.c is 5; it may be a section with history, ttl, max_items, schema, max_value_bytes, presence or authors",
      "millrace.yaml:9: streams.d.history is a list; it may be a section with max_changes, max_age or max_bytes",
      expect.stringContaining('streams.d.ttl is "3651d"; it may be a duration from 1s to 3650d'),
      "millrace.yaml:10: streams.e has no value; it may be a section with history, ttl, max_items, schema, max_value_bytes, presence or authors",
    ]);
    expect(await problemsOf({ yaml: "streams: [1]" })).toEqual([
      expect.stringContaining("streams is a list; it may be sections by the names of streams"),
    ]);
  });

  it("cannot be set in the environment", async () => {
    for (const name of ["MILLRACE_STREAMS", "MILLRACE_STREAMS_CHAT_TTL"]) {
      expect(await problemsOf({ environment: { [name]: "x" } })).toEqual([
        `${name} is set, but a variable cannot hold sections; unset it, and set streams in the file`,
      ]);
    }
  });

  it("read schemas from files, in JSON or YAML", async () => {
    const { config, publicKeys, schemas } = await loadWith(
      { "a.json": '{"type":"string"}', "b.yaml": "type: object\nrequired: [text]\n" },
      "streams: { a: { schema: a.json }, b*: { schema: ./b.yaml } }",
    );
    expect(toServerOptions(config, publicKeys, schemas).streams).toMatchObject({
      a: { schema: { type: "string" } },
      "b*": { schema: { type: "object", required: ["text"] } },
    });
  });

  it("name what is wrong with a schema and its file, all at once", async () => {
    const yaml = `streams:
  a: { schema: none.json }
  b: { schema: folder }
  c: { schema: c.txt }
  d: { schema: d.json }
  e: { schema: e.json }
  f: { schema: f.json }
  g: { schema: 7 }
`;
    const files = {
      "c.txt": "{ a: [",
      "d.json": '{"type":"strng"}',
      "e.json": '{"$ref":"https://example.com/x.json"}',
      "f.json": '{"pattern":"(?=a)"}',
    };
    expect(await problemsWith(files, yaml)).toEqual([
      'millrace.yaml:2: streams.a.schema is "none.json", which does not exist',
      'millrace.yaml:3: streams.b.schema is "folder", which is a folder; name a file',
      'millrace.yaml:4: streams.c.schema is "c.txt", which is neither JSON nor YAML',
      expect.stringContaining(
        'streams.d.schema is "d.json", which is no JSON Schema: its /type must be',
      ),
      expect.stringContaining(
        'streams.e.schema is "e.json", which has /$ref, which leads out of the schema',
      ),
      expect.stringContaining(
        'streams.f.schema is "f.json", which has a pattern that cannot be matched in linear time',
      ),
      "millrace.yaml:8: streams.g.schema is 7; it may be the path of a file in JSON or YAML, in quotes",
    ]);
  });
});
