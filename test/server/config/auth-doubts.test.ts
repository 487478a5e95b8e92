import { describe, expect, it } from "vitest";
import { load } from "./loading.ts";

const remote = { algorithms: ["RS256"], audience: "m", jwks_url: "https://id.example.com/jwks" };

describe("a doubt about auth", () => {
  const warningsOf = async (yaml: string, environment = {}) =>
    (await load({ yaml, environment })).warnings;

  it("is a warning with its place", async () => {
    const yaml = `
auth:
  keys: [{ name: a, key: x, allow: [{ actions: [read], group: "{user}" }] }]
  jwt:
    - ${JSON.stringify({ ...remote, audience: undefined })}
  rules:
    - { actions: [write], stream: notes, group: "{user}*" }
  anonymous:
    - { actions: ["*"] }
`;
    expect(await warningsOf(yaml)).toEqual([
      "millrace.yaml:3: auth.keys[0].allow[0].group is {user}, which never matches: callers with a key have neither user, claims nor context",
      "millrace.yaml:5: auth.jwt[0] has no audience, so it accepts tokens that the issuer made for other applications",
      "millrace.yaml:7: auth.rules[0].group is {user}*, which may match names of other users, as {user}* of ann matches anna; put a character that ids never contain after each placeholder, as in {user}/*",
      "millrace.yaml:9: auth.anonymous[0] lets anybody, without credentials, do everything, work and admin included (*)",
    ]);
  });

  it("shows no value from a placeholder", async () => {
    const yaml = `auth: { anonymous: [{ actions: [read], stream: "\${SECRET}" }] }`;
    expect(await warningsOf(yaml, { SECRET: "s3cret{user}" })).toEqual([
      "millrace.yaml:1: auth.anonymous[0].stream is (hidden), which never matches: anonymous callers have neither user, claims nor context",
    ]);
  });

  it("arises for rules that nobody can use", async () => {
    const rules = "[{ actions: [read], stream: news }]";
    expect(await warningsOf(`auth: { rules: ${rules} }`)).toEqual([
      "millrace.yaml:1: auth.rules has no effect, because no caller becomes a user: neither auth.jwt nor auth_function is set",
    ]);
    expect(
      await warningsOf(`auth_function: who\nauth: { rules: ${rules}, anonymous: ${rules} }`),
    ).toEqual([
      "millrace.yaml:2: auth.anonymous has no effect, because auth_function makes every caller without a key or token a user",
    ]);
  });

  it("does not arise for ordinary settings", async () => {
    const yaml = `auth: { jwt: [${JSON.stringify(remote)}], rules: [{ actions: [read], stream: news }] }`;
    expect(await warningsOf(yaml)).toEqual([]);
  });
});
