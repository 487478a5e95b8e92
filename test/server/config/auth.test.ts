import { describe, expect, it } from "vitest";
import * as z from "zod";
import { hashOfKey } from "../../../src/rights/keys.ts";
import { configJsonSchema } from "../../../src/server/config/json-schema.ts";
import { keyNamed } from "../../../src/server/config/keys.ts";
import { toServerOptions } from "../../../src/server/config/options.ts";
import { reportOf } from "../../../src/server/config/report.ts";
import { judge } from "../../../src/server/config/validate.ts";
import { load, problemsOf } from "./loading.ts";

const SECRET = "s3cret-s3cret-s3cret-s3cret-s3cret";
const HASH = hashOfKey("mk_other");
const PATTERN_MAY =
  "it may be a name, or the beginning of names and a star (`chat-*`), in which `{user}`, `{claims.NAME}` and `{context.NAME}` stand for values of the caller";

/** The mistakes in a file with one key of `auth`, on line 2. */
const mistakesIn = (key: string, value: unknown) =>
  problemsOf({ yaml: `auth:\n  ${key}: ${JSON.stringify(value)}\n` });

const hs256 = { algorithms: ["HS256"], secret: SECRET };
const remote = { algorithms: ["RS256"], audience: "m", jwks_url: "https://id.example.com/jwks" };

describe("auth", () => {
  it("is empty by default", async () => {
    expect(toServerOptions((await load({})).config).auth).toEqual({
      ...{ keys: [], jwt: [], rules: undefined, anonymous: undefined, local: false },
    });
  });

  it("becomes options of the server", async () => {
    const yaml = `
auth:
  keys:
    - { name: backend, key: "\${BACKEND_KEY}" }
    - { name: exporter, key_sha256: ${HASH}, allow: [{ actions: [read, subscribe], stream: "*" }] }
  jwt:
    - { issuer: https://id.example.com/, audience: [a, b], algorithms: [RS256], jwks_url: https://id.example.com/jwks, user: app.id, leeway: 30s }
    - { algorithms: [HS256], audience: \${AUDIENCE}, secret: "\${JWT_SECRET}", allow_claim: millrace, user_prefix: "app:" }
  rules:
    - { actions: [subscribe, read], stream: chat, group: "{claims.rooms}" }
  anonymous: \${ANONYMOUS}
  local: true
write_gate: required
`;
    const environment = {
      BACKEND_KEY: "12345",
      JWT_SECRET: SECRET,
      AUDIENCE: "777",
      ANONYMOUS: '[{ actions: [subscribe], stream: "public-*" }]',
    };
    const options = toServerOptions((await load({ yaml, environment })).config);
    expect(options.writeGate).toBe("required");
    expect(options.auth).toEqual({
      keys: [
        { name: "backend", key: "12345" },
        {
          ...{ name: "exporter", keySha256: HASH },
          allow: [{ actions: ["read", "subscribe"], stream: "*" }],
        },
      ],
      jwt: [
        {
          ...{ issuer: "https://id.example.com/", audience: ["a", "b"], algorithms: ["RS256"] },
          ...{ jwksUrl: "https://id.example.com/jwks", user: "app.id", leewayMs: 30_000 },
        },
        {
          ...{ algorithms: ["HS256"], audience: "777", secret: SECRET, allowClaim: "millrace" },
          ...{ user: "sub", userPrefix: "app:", leewayMs: 0 },
        },
      ],
      rules: [{ actions: ["subscribe", "read"], stream: "chat", group: "{claims.rooms}" }],
      anonymous: [{ actions: ["subscribe"], stream: "public-*" }],
      local: true,
    });
  });

  it("has a variable for its toggle, and none for its lists", async () => {
    const { config } = await load({ environment: { MILLRACE_AUTH_LOCAL: "true" } });
    expect(config.auth.local).toBe(true);
    for (const list of ["KEYS", "JWT", "RULES", "ANONYMOUS", "KEYS_0_KEY"]) {
      const name = `MILLRACE_AUTH_${list}`;
      const key = list.split("_")[0]?.toLowerCase() ?? "";
      expect(await problemsOf({ environment: { [name]: "[]" } })).toEqual([
        `${name} is set, but a variable cannot hold a list of sections; unset it, and set auth.${key} in the file`,
      ]);
    }
  });

  it("lets the service listen where other machines reach it, with keys or issuers only", async () => {
    await load({ yaml: `host: 0.0.0.0\nauth: { keys: [{ name: a, key_sha256: ${HASH} }] }` });
    await load({ yaml: `host: 0.0.0.0\nauth: { jwt: [${JSON.stringify(remote)}] }` });
    const rules = '[{ actions: ["read"], stream: public }]';
    expect(
      await problemsOf({ yaml: `host: 0.0.0.0\nauth: { rules: ${rules}, anonymous: ${rules} }` }),
    ).toEqual([
      "host is 0.0.0.0, which other machines can reach, and no caller would have to authenticate: configure api_tokens, api_token_file, auth.keys or auth.jwt, or listen on 127.0.0.1, or set insecure: true if you mean it.",
    ]);
  });
});

describe("a mistake in auth", () => {
  it.each<readonly [string, unknown, string]>([
    ["keys", [{ name: "a" }], "auth.keys[0] has no key; it may have either key or key_sha256"],
    [
      "keys",
      [{ name: "a", key: "x", key_sha256: HASH }],
      "auth.keys[0] has a key and its hash; it may have either key or key_sha256",
    ],
    [
      "keys",
      [
        { name: "a", key: "mk_other" },
        { name: "b", key_sha256: HASH },
      ],
      "auth.keys[1] is the same key as auth.keys[0]; each entry needs a key of its own",
    ],
    [
      "keys",
      [{ name: "a", key: "two words" }],
      "auth.keys[0].key is invalid (not shown); it may be text without spaces, in ASCII, such as `millrace key` prints",
    ],
    [
      "keys",
      [{ name: "a", key_sha256: "mk_pasted" }],
      "auth.keys[0].key_sha256 is invalid (not shown); it may be 64 hexadecimal digits, such as `millrace key` prints",
    ],
    [
      "keys",
      [{ name: "a", key: "x", allow: [{ actions: ["raed"] }] }],
      'auth.keys[0].allow[0].actions[0] is "raed"; it may be subscribe, read, write, send, presence, work, admin or *',
    ],
    [
      "keys",
      [{ name: "a", key: "x", allow: [{ actions: ["read"], stream: "a*b" }] }],
      "auth.keys[0].allow[0].stream has a * before its end; it may end in one *",
    ],
    [
      "jwt",
      [{ algorithms: ["HS256"] }],
      "auth.jwt[0].algorithms has HS256, which needs a secret; with a public key it may be RS256 or ES256, for example",
    ],
    [
      "jwt",
      [{ algorithms: ["none"], secret: SECRET }],
      'auth.jwt[0].algorithms[0] is "none"; it may be RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519, HS256, HS384 or HS512',
    ],
    [
      "jwt",
      [hs256, { ...hs256, secret: "short" }],
      "auth.jwt[1].secret has 5 bytes, too few for HS256; it may be 32 bytes or longer",
    ],
    [
      "jwt",
      [{ ...hs256, jwks_url: remote.jwks_url }],
      "auth.jwt[0] has jwks_url and secret; it may have exactly one of jwks_url, public_key_file and secret",
    ],
    [
      "jwt",
      [{ ...remote, jwks_url: "https://ann:s3cret@id.example.com/" }],
      "auth.jwt[0].jwks_url has a user name or password; it may be a URL without them",
    ],
    [
      "jwt",
      [{ ...remote, audience: 5 }],
      "auth.jwt[0].audience is 5; it may be a text, or a list of texts",
    ],
    [
      "jwt",
      [{ ...remote, isuer: "a" }],
      "auth.jwt[0].isuer is not a key; did you mean auth.jwt[0].issuer?",
    ],
    [
      "jwt",
      [{ ...remote, leeway: "1h" }],
      'auth.jwt[0].leeway is "1h"; it may be a duration from 0s to 10m with its unit (ms, s, m, h or d), such as 500ms or 15s',
    ],
    [
      "rules",
      [{ actions: [] }],
      "auth.rules[0].actions is empty; it may be a list of subscribe, read, write, send, presence, work, admin, *",
    ],
    [
      "rules",
      [{ actions: ["read"], item: "{usr}" }],
      "auth.rules[0].item has an unknown placeholder {usr}; it may be {user}, {claims.NAME} or {context.NAME}",
    ],
    [
      "rules",
      [{ actions: ["read"], group: { user: null } }],
      `auth.rules[0].group is a section; ${PATTERN_MAY}, in quotes`,
    ],
    [
      "rules",
      Array.from({ length: 1001 }, () => ({ actions: ["read"] })),
      "auth.rules has 1001 rules; it may have 1000. Patterns with placeholders serve many users",
    ],
    [
      "anonymous",
      [{ actions: ["read"], streem: "a" }],
      "auth.anonymous[0].streem is not a key; did you mean auth.anonymous[0].stream?",
    ],
  ])("is a sentence: %s: %j", async (key, value, sentence) => {
    expect(await mistakesIn(key, value)).toEqual([`millrace.yaml:2: ${sentence}`]);
  });

  it("is reported together with all others", async () => {
    const problems = await problemsOf({
      yaml: `
auth:
  keys: [{ name: a }, { name: b, key: "" }]
  jwt:
    - { algorithms: [], secret: x }
    - { algorithms: [RS256], public_key_file: none.pem }
  rules: [{ actions: [read], stream: "}" }, { actions: [fly] }]
`,
    });
    expect(problems.map((problem) => problem.split(" ")[1])).toEqual([
      "auth.keys[1].key",
      "auth.keys[0]",
      "auth.jwt[0].algorithms",
      "auth.jwt[1].public_key_file",
      "auth.rules[1].actions[0]",
      "auth.rules[0].stream",
    ]);
  });

  it("shows no secret, and nothing from a placeholder", async () => {
    const yaml = `
auth:
  keys: [{ name: a, key: "s3cret key" }, { name: b, key_sha256: s3cret }, s3cret]
  jwt: [{ algorithms: [HS256], secret: s3cret }]
  rules: [{ actions: [read], stream: "\${SECRET}" }, { actions: [read], stream: "a\${SECRET}" }]
  anonymous: \${RULES}
`;
    const environment = { SECRET: "{s3cret}", RULES: "[{ s3cret: 1, actions: [read] }]" };
    const problems = await problemsOf({ yaml, environment });
    expect(problems).toHaveLength(7);
    expect(problems.join("\n")).not.toContain("s3cret");
    expect(problems).toContain(
      `millrace.yaml:5: auth.rules[0].stream is invalid (not shown); ${PATTERN_MAY}`,
    );
  });

  it("is a key that is also one of api_tokens, whatever their sources", async () => {
    for (const key of ["key: mk_other", `key_sha256: ${HASH.toUpperCase()}`]) {
      const problems = await problemsOf({
        yaml: `auth: { keys: [{ name: a, ${key} }] }`,
        environment: { MILLRACE_API_TOKENS: "mk_other" },
      });
      expect(problems).toEqual([
        "auth.keys[0] is also one of api_tokens; each entry needs a key of its own",
      ]);
    }
  });
});

describe("the report on auth", () => {
  it("is an equivalent configuration without keys and secrets", async () => {
    const yaml = `
auth:
  keys: [{ name: a, key: s3cret-key }, { name: b, key_sha256: ${HASH}, allow: [{ actions: [read], item: x }] }]
  jwt: [{ algorithms: [HS256], secret: ${SECRET}, leeway: 90s }]
`;
    const loaded = await load({ yaml });
    const report = reportOf(loaded);
    expect(report).not.toContain("s3cret");
    expect(report).not.toContain(HASH);
    expect(report).toContain(
      "  keys: [ { name: a, key: (hidden) }, { name: b, key_sha256: (hidden), allow: [ { actions: [ read ], item: x } ] } ] # millrace.yaml:3\n",
    );
    expect(report).toContain(
      "  jwt: [ { algorithms: [ HS256 ], secret: (hidden), user: sub, leeway: 90s } ] # millrace.yaml:4\n",
    );
    const again = report
      .replace("key: (hidden)", "key: s3cret-key")
      .replace("key_sha256: (hidden)", `key_sha256: ${HASH}`)
      .replace("secret: (hidden)", `secret: ${SECRET}`);
    expect((await load({ yaml: again })).config).toEqual(loaded.config);
  });
});

describe("the JSON Schema of auth", () => {
  const schema = z.fromJSONSchema(configJsonSchema());

  it.each([
    {},
    { keys: [{ name: "a", key: "x", allow: [{ actions: ["read"], stream: "a" }] }] },
    { keys: [{ name: "a", key: "a b" }] },
    { keys: [{ key: "x" }] },
    { jwt: [{ ...remote, audience: ["a"] }, hs256] },
    { jwt: [{ ...remote, audience: [5] }] },
    { jwt: [{ ...remote, algorithms: ["none"] }] },
    { rules: [{ actions: ["*"] }] },
    { rules: [{ actions: ["fly"] }] },
    { rules: [{ stream: "a" }] },
    { anonymous: [{ actions: ["read"], colour: 1 }] },
    { local: "yes" },
    [],
  ])("accepts %j exactly if the server does", (auth) => {
    expect(schema.safeParse({ auth }).success).toBe(judge({ auth }).length === 0);
  });

  it("accepts placeholders in the place of any value", () => {
    const whole = {
      keys: { name: "a", key: "x" },
      jwt: hs256,
      rules: { actions: ["read"] },
      anonymous: { actions: ["read"] },
    };
    for (const [list, section] of Object.entries(whole)) {
      for (const { path } of keyNamed(`auth.${list}`).items) {
        const changed = { ...section, [path.at(-1) ?? ""]: "${VARIABLE}" };
        const { error } = schema.safeParse({ auth: { [list]: [changed] } });
        expect([path, error]).toEqual([path, undefined]);
      }
    }
  });
});
