import { describe, expect, it } from "vitest";
import type { Action, Resource } from "../../../src/rights/action.ts";
import { hashOfKey } from "../../../src/rights/keys.ts";
import { decide } from "../../../src/server/commands/may.ts";
import { developmentToken } from "../../../src/server/commands/token.ts";
import { toServerOptions } from "../../../src/server/config/options.ts";
import { load } from "../config/loading.ts";

const SECRET = "s3cret-s3cret-s3cret-s3cret-s3cret";
const YAML = `
auth:
  keys:
    - { name: backend, key: k-backend }
    - name: exporter
      key_sha256: ${hashOfKey("k-exporter")}
      allow: [{ actions: [read], stream: "\${STREAM}" }]
  jwt:
    - { algorithms: [HS256], secret: ${SECRET}, allow_claim: millrace }
  rules:
    - { actions: [subscribe, read], stream: chat, group: "{claims.rooms}" }
    - { actions: ["*"], stream: "notes-*", item: "{user}" }
  anonymous:
    - { actions: [subscribe], stream: public }
`;
const TOKEN = "a token of ann";

/** Asks for a caller: a key, nothing, or a new token of ann. */
async function ask(
  as: string | undefined,
  action: Action,
  resource: Resource = {},
  yaml = YAML,
  allow?: string[],
) {
  const loaded = await load({ yaml, environment: { STREAM: "secret-stream" } });
  const { jwt = [] } = toServerOptions(loaded.config).auth;
  const flags = { user: "ann", ttl: "1h", claims: '{"rooms":["a","b"]}', ...(allow && { allow }) };
  const credential = as === TOKEN ? await developmentToken(jwt, flags, Date.now()) : as;
  const { isYes, reason } = await decide(loaded, credential, action, resource);
  return `${isYes ? "yes" : "no"}: ${reason}`;
}

describe("millrace may", () => {
  it("names the rule of a user, its place and its text", async () => {
    const chat = { stream: "chat", group: "a", item: "m1" };
    expect(await ask(TOKEN, "read", chat)).toBe(
      'yes: auth.rules[0] allows it (user ann)\nmillrace.yaml:11: { actions: [subscribe, read], stream: "chat", group: "{claims.rooms}" }',
    );
    expect(await ask(TOKEN, "write", { stream: "notes-1", group: "x", item: "ann" })).toBe(
      'yes: auth.rules[1] allows it (user ann)\nmillrace.yaml:12: { actions: ["*"], stream: "notes-*", item: "{user}" }',
    );
    for (const [action, resource] of [
      ["write", chat],
      ["read", { stream: "chat", group: "c" }],
      ["read", { stream: "chat" }],
      ["read", {}],
      ["write", { stream: "notes-1", group: "x", item: "bob" }],
      ["work", {}],
    ] as const)
      expect(await ask(TOKEN, action, resource)).toBe("no: no rule allows it (user ann)");
  });

  it("names the rule of a token", async () => {
    expect(await ask(TOKEN, "send", { stream: "chat", group: "z" }, YAML, ["send:chat"])).toBe(
      'yes: token[0] allows it (user ann)\n{ actions: [send], stream: "chat" }',
    );
  });

  it("knows keys, and hides patterns from placeholders", async () => {
    expect(await ask("k-backend", "admin")).toBe(
      "yes: it may do everything (service with key backend)",
    );
    expect(await ask("k-exporter", "read", { stream: "secret-stream" })).toBe(
      "yes: auth.keys[1].allow[0] allows it (service with key exporter)\nmillrace.yaml:7: { actions: [read], stream: (hidden) }",
    );
    expect(await ask("k-exporter", "write", { stream: "secret-stream" })).toBe(
      "no: no rule allows it (service with key exporter)",
    );
  });

  it("knows anonymous callers", async () => {
    expect(await ask(undefined, "subscribe", { stream: "public", group: "a" })).toBe(
      'yes: auth.anonymous[0] allows it (anonymous)\nmillrace.yaml:14: { actions: [subscribe], stream: "public" }',
    );
    expect(await ask(undefined, "read", { stream: "public" })).toBe(
      "no: no rule allows it (anonymous)",
    );
  });

  it("answers no to a credential that the service refuses", async () => {
    expect(await ask("k-wrong", "read")).toMatch(/^no: AUTH_REFUSED: /);
    expect(await ask("a.b.c", "read")).toMatch(/^no: AUTH_REFUSED: The token /);
  });

  it("explains a service without rules", async () => {
    const yaml = `auth: { jwt: [{ algorithms: [HS256], secret: ${SECRET} }] }`;
    const chat = { stream: "chat", group: "a" };
    expect(await ask(TOKEN, "subscribe", chat, yaml)).toBe(
      "yes: everybody may subscribe, as neither auth.rules nor auth.anonymous is set (user ann)",
    );
    expect(await ask(undefined, "write", chat, yaml)).toBe(
      "no: neither auth.rules nor auth.anonymous is set, so it may only subscribe (anonymous)",
    );
  });

  it("does not answer for auth_function", async () => {
    const yaml = `auth_function: who\n${YAML}`;
    await expect(ask(undefined, "read", {}, yaml)).rejects.toThrow(
      "auth_function decides who this caller is, so only the running service can tell; present a key or a token.",
    );
    expect(await ask(TOKEN, "read", { stream: "chat", group: "a" }, yaml)).toMatch(/^yes: /);
  });

  it("refuses invalid names", async () => {
    await expect(ask("k-backend", "read", { stream: "" })).rejects.toThrow("stream is empty");
  });
});
