import { describe, expect, it } from "vitest";
import { withoutSecretParts } from "../../../src/server/config/discretion.ts";
import { reportOf } from "../../../src/server/config/report.ts";
import { load, problemsOf } from "./loading.ts";

const SECRET = "s3cret";
const HOOK_SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
const hook = (url: string, more = "") =>
  `functions:\n  - { id: hook, url: "${url}", secret: ${HOOK_SECRET}${more} }`;

describe("a text that may be a URL", () => {
  it.each([
    ["https://a.example/x?token=s3cret#s3cret", "https://a.example/x?(hidden)"],
    ["https://a.example/x#s3cret", "https://a.example/x#(hidden)"],
    ["https://u:s3c@ret@a.example/x", "https://(hidden)@a.example/x"],
    ["redis://:s3cret@a?password=s3cret", "redis://(hidden)@a?(hidden)"],
    ["//u:s3cret@a", "//(hidden)@a"],
    ["u:s3cret@a.example/x?s3cret", "(hidden)@a.example/x?(hidden)"],
    ["a.example/x?s3cret\ns3cret", "a.example/x?(hidden)"],
    ["https://a.example/x", "https://a.example/x"],
    ["127.0.0.1", "127.0.0.1"],
  ])("%j is shown as %j", (text, shown) => {
    expect(withoutSecretParts(text)).toBe(shown);
  });
});

describe("a sentence about a mistake", () => {
  it.each([
    "port: ${SECRET}",
    "port: x${SECRET}",
    "host: http://${SECRET}",
    "host: ' ${SECRET} x'",
    "log_level: ${SECRET}",
    "heartbeat_interval: ${SECRET}",
    "insecure: ${SECRET}",
    "history: ${SECRET}",
    "history: ${SECTION}",
    "history: { max_age: ${SECTION} }",
    "functions: ${SECRET}",
    "functions: [{ id: ${SECRET} }]",
    "functions: ${SECTIONS}",
    "allowed_origins: [a, ${SECRET}]",
    "allowed_origins: ${SECRET}",
    "adapter: ${SECRET}",
    "adapter: { name: ${SECRET} }",
    "auth_function: ${LONG}",
    "limits: { max_function_calls: &it ${SECRET}, max_trigger_calls: *it }",
    "port: ${UNSET:-s3cret}",
    "api_tokens: [${UNSET:-s3cret}]",
    "host: ${UNSET:http://s3cret}",
    "workers: [{ name: iii-stream, config: { adapter: { name: ${SECRET} } } }]",
    "workers: [{ name: iii-stream, config: { adapter: { class: 'a::${SECRET}' } } }]",
    "workers: [{ name: iii-stream, config: { port: ${SECRET} } }]",
    "port: ${SECRET}\nworkers: [{ name: iii-stream }]",
  ])("shows no value from a placeholder: %s", async (yaml) => {
    const problems = await problemsOf({
      yaml,
      environment: {
        SECRET,
        SECTION: `{ ${SECRET}: 1, max_changes: ${SECRET} }`,
        SECTIONS: `[{ ${SECRET}: 1 }, ${SECRET}]`,
        LONG: SECRET.repeat(60),
      },
    });
    expect(problems).not.toEqual([]);
    expect(problems.join("\n")).not.toContain(SECRET);
  });

  it("shows a value of the file itself", async () => {
    const yaml = "port: x\nlog_level: ${LEVEL}";
    expect(await problemsOf({ yaml, environment: { LEVEL: SECRET } })).toEqual([
      'millrace.yaml:1: port is "x"; it may be an integer from 0 to 65535',
      "millrace.yaml:2: log_level is invalid (not shown); it may be trace, debug, info, warn, error, fatal or silent",
    ]);
  });

  it("names the section, and not the key, when an unknown key comes from a placeholder", async () => {
    const environment = { SECTION: `{ ${SECRET}: 1 }` };
    expect(await problemsOf({ yaml: "history: ${SECTION}", environment })).toEqual([
      "millrace.yaml:1: history has an unknown key (not shown); it may be max_changes, max_age or max_bytes",
    ]);
  });

  it("does not name a host from a placeholder that other machines can reach", async () => {
    const problems = await problemsOf({ yaml: "host: ${HOST}", environment: { HOST: "10.1.2.3" } });
    expect(problems).toEqual([expect.stringMatching(/^host is \(hidden\), which other machines/)]);
  });

  it.each([
    hook("https://u:s3cret@a.example/x"),
    hook("a.example/x?token=s3cret"),
    hook("https://a.example/x?token=s3cret#s3cret"),
    hook("https://127.0.0.1/x?token=s3cret"),
    "host: http://a?s3cret",
    "allowed_origins: ['https://u:s3cret@a.example']",
    "allowed_origins: ['https://a.example?s3cret']",
  ])("shows no user, password, query or fragment of a URL: %s", async (yaml) => {
    const problems = await problemsOf({ yaml });
    expect(problems).toHaveLength(1);
    expect(problems.join("\n")).not.toContain(SECRET);
  });

  it("shows none of them for a URL in the environment either", async () => {
    const environment = { MILLRACE_ALLOWED_ORIGINS: "https://a.example?s3cret" };
    expect((await problemsOf({ environment })).join("\n")).not.toContain(SECRET);
  });
});

describe("the report", () => {
  it("hides values from placeholders, and no others", async () => {
    const yaml = [
      "port: ${PORT}",
      "adapter: { config: { file_path: '/data/${FOLDER}' } }",
      "allowed_origins: [https://a.example, '${ORIGIN}']",
      "history: ${HISTORY}",
      "limits: { max_function_calls: &n ${COUNT}, max_calls_per_function: *n }",
      `functions: [{ id: hook, url: "https://a.example/\${PATH_PART}", secret: ${HOOK_SECRET} }]`,
    ].join("\n");
    const environment = {
      PORT: "4000",
      FOLDER: SECRET,
      ORIGIN: `https://${SECRET}.example`,
      HISTORY: "{ max_changes: 4321 }",
      COUNT: "4322",
      PATH_PART: SECRET,
    };
    const report = reportOf(await load({ yaml, environment }));
    for (const value of [SECRET, "4000", "4321", "4322", "whsec_"])
      expect(report).not.toContain(value);
    expect(report).toContain("port: (hidden) # millrace.yaml:1\n");
    expect(report).toContain("file_path: (hidden) # millrace.yaml:2\n");
    expect(report).toContain(
      "allowed_origins: [ https://a.example, (hidden) ] # millrace.yaml:3\n",
    );
    expect(report).toContain("max_changes: (hidden) # millrace.yaml:4\n");
    expect(report).toContain("max_age: 1h # default\n");
    expect(report).toContain("{ id: hook, url: (hidden), secret: (hidden), timeout: 10s,");
  });

  it("shows a value of the environment that overrides a placeholder", async () => {
    const environment = { PORT: "4000", MILLRACE_PORT: "4001" };
    const report = reportOf(await load({ yaml: "port: ${PORT}", environment }));
    expect(report).toContain("port: 4001 # MILLRACE_PORT\n");
  });

  it("hides the query of a webhook's URL", async () => {
    const report = reportOf(await load({ yaml: hook("https://a.example/x?token=s3cret") }));
    expect(report).toContain("url: https://a.example/x?(hidden),");
  });
});
