import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { configJsonSchema } from "../../../src/server/config/json-schema.ts";
import { judge } from "../../../src/server/config/validate.ts";
import { KEYS } from "../../../src/server/config/keys.ts";
import { setAt, valueAt } from "../../../src/server/config/tree.ts";
import { PROJECT } from "../../docs/markdown.ts";

const schema = z.fromJSONSchema(configJsonSchema());

describe("the JSON Schema of the configuration", () => {
  it("is the file that editors are pointed to (if not: `millrace config-schema` prints it)", async () => {
    const file = await readFile(`${PROJECT}/docs/config.schema.json`, "utf8");
    expect(JSON.parse(file)).toEqual(configJsonSchema());
  });

  it("has every key with its default and its allowed values", () => {
    for (const { path, name, fallback, may, description } of KEYS) {
      const place = path.flatMap((part) => ["properties", part]);
      const found = valueAt(configJsonSchema(), place) as Record<string, unknown>;
      expect([name, found["default"]]).toEqual([name, fallback]);
      expect(found["description"]).toBe(`${description} It may be ${may}.`);
    }
  });

  it.each([
    {},
    { port: 0 },
    { port: 65_536 },
    { port: "3112" },
    { port: null },
    { prot: 1 },
    { history: { max_age: "1h", max_bytes: 5, max_changes: 1 } },
    { history: { max_age: 5 } },
    { history: { max_age: "1 hour" } },
    { history: { max_bytes: "8MB" } },
    { history: { colour: 1 } },
    { history: null },
    { adapter: { name: "redis" } },
    { adapter: { name: "redis", config: { redis_url: "redis+cluster://a,b", min_replicas: 1 } } },
    { adapter: { config: { redis_url: "http://localhost" } } },
    { adapter: { config: { key_prefix: "a{b}" } } },
    { adapter: { config: { min_replicas: 11 } } },
    { adapter: { config: { redis_timeout: 5 } } },
    { registry_timeout: "10s" },
    { adapter: { config: { store_method: "in_memory" } } },
    { allowed_origins: ["*", "https://a.example"] },
    { allowed_origins: ["https://A.example"] },
    { allowed_origins: "*" },
    { api_tokens: ["a b"] },
    { insecure: "yes" },
    { auth_function: "f" },
    { worker_port: 1 },
    { streams: { chat: {}, "logs-*": { max_items: 5, ttl: "30d", authors: true } } },
    { streams: { chat: { history: { max_age: "1h" }, schema: "chat.json" } } },
    { streams: { chat: { max_items: 0 } } },
    { streams: { chat: { maxItems: 1 } } },
    { streams: { chat: null } },
    { streams: { chat: { history: { max_age: 5 } } } },
    { streams: [] },
  ])("accepts %j exactly if the server does", (input) => {
    expect(schema.safeParse(input).success).toBe(judge(input).length === 0);
  });

  it("accepts placeholders in the place of any value", () => {
    for (const { path } of KEYS) {
      const input = {};
      setAt(input, path, "${VARIABLE:default}");
      expect([path, schema.safeParse(input).error]).toEqual([path, undefined]);
    }
    expect(schema.safeParse({ api_tokens: ["${TOKEN}"] }).success).toBe(true);
  });
});
