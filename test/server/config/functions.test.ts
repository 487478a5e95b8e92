import { describe, expect, it } from "vitest";
import * as z from "zod";
import { configJsonSchema } from "../../../src/server/config/json-schema.ts";
import { judge } from "../../../src/server/config/validate.ts";
import { keyNamed } from "../../../src/server/config/keys.ts";
import { toServerOptions } from "../../../src/server/config/options.ts";
import { reportOf } from "../../../src/server/config/report.ts";
import { DEFAULT_WEBHOOK } from "../../../src/webhooks/webhook-options.ts";
import { webhookProvider } from "../../../src/webhooks/webhook-provider.ts";
import { placeOf, readMarkdown } from "../../docs/markdown.ts";
import { load, problemsOf } from "./loading.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET = `whsec_${Buffer.alloc(64, 7).toString("base64")}`;
const GOOD = { id: "orders::notify", url: "https://hooks.example.com/orders", secret: SECRET };

const ID_MAY =
  "it may be a name of up to 256 bytes without control characters that does not begin with engine:: or millrace:: and is no built-in function of streams";
const URL_MAY =
  "it may be an http or https URL without user name, password and fragment, such as https://hooks.example.com/orders";
const SECRET_WRONG = "is invalid (not shown); it may be whsec_ and 24 to 64 random bytes in base64";
const SECTION_MAY =
  "a section with id, url, secret, timeout, max_attempts, initial_backoff, allow_redirects or allow_private_addresses";
const IN_VARIABLE =
  "is set, but a variable cannot hold a list of sections; unset it, and set functions in the file";

/** A file with functions, with one key per line from line 2 on. */
const fileOf = (...sections: readonly object[]) =>
  `functions:\n${sections
    .map((section) => {
      const lines = Object.entries(section).map(
        ([key, value]) => `${key}: ${JSON.stringify(value)}`,
      );
      return `  - ${lines.join("\n    ")}`;
    })
    .join("\n")}\n`;

describe("functions", () => {
  it("are none by default", async () => {
    expect(toServerOptions((await load({})).config).webhooks).toEqual([]);
    expect(toServerOptions((await load({ yaml: "functions: []" })).config).webhooks).toEqual([]);
  });

  it("become webhooks, with the defaults of a webhook", async () => {
    const second = {
      ...{ id: "auth", url: "http://127.0.0.1:9000/", secret: OTHER_SECRET, timeout: "1.5s" },
      ...{ max_attempts: 1, initial_backoff: "5ms", allow_redirects: true },
      allow_private_addresses: true,
    };
    const { config, originOf } = await load({ yaml: fileOf(GOOD, second) });
    const { webhooks } = toServerOptions(config);
    expect(webhooks).toEqual([
      { ...GOOD, ...DEFAULT_WEBHOOK },
      {
        ...{ id: "auth", url: "http://127.0.0.1:9000/", secret: OTHER_SECRET, timeoutMs: 1500 },
        ...{ maxAttempts: 1, initialBackoffMs: 5, allowRedirects: true },
        allowPrivateAddresses: true,
      },
    ]);
    for (const webhook of webhooks) webhookProvider(webhook).close();
    expect(originOf(keyNamed("functions"))).toBe("millrace.yaml:1");
  });

  it("accept placeholders, even for a whole function", async () => {
    const yaml =
      "functions:\n  - { id: ${ID}, url: '${BASE}/orders', secret: ${SECRET}, max_attempts: ${N:5} }\n  - ${WHOLE}";
    const environment = {
      ...{ ID: "12345", BASE: "https://hooks.example.com", SECRET },
      WHOLE: `{ id: two, url: https://hooks.example.com/, secret: ${SECRET} }`,
    };
    const { functions } = (await load({ yaml, environment })).config;
    expect(functions).toMatchObject([{ ...GOOD, id: "12345", max_attempts: 5 }, { id: "two" }]);
  });

  it("may come from a variable that the file names, although none sets them by itself", async () => {
    const environment = { MILLRACE_FUNCTIONS: JSON.stringify([GOOD]) };
    const { config } = await load({ yaml: "functions: ${MILLRACE_FUNCTIONS}", environment });
    expect(config.functions).toHaveLength(1);
  });

  it("may be in the entry of an engine's file, where null means absent", async () => {
    const yaml = `workers:\n  - name: iii-stream\n    config:\n      functions:\n        - { id: f, url: "${GOOD.url}", secret: ${SECRET}, timeout: null, max_attempts: ~ }\n`;
    expect((await load({ yaml })).config.functions).toMatchObject([
      { id: "f", timeout: 10_000, max_attempts: 3 },
    ]);
    expect(await problemsOf({ yaml: yaml.replace("timeout: null", "timout: 1s") })).toEqual([
      "millrace.yaml:5: functions[0].timout is not a key; did you mean functions[0].timeout?",
    ]);
    expect(await problemsOf({ yaml: "functions: []\nworkers: [{ name: iii-stream }]" })).toEqual([
      "millrace.yaml:1: functions has no effect here; move it into the config of the entry for streams",
    ]);
  });
});

describe("a function", () => {
  it.each<readonly [object, number, string]>([
    // Names
    [{ secert: 1 }, 5, "functions[0].secert is not a key; did you mean functions[0].secret?"],
    [{ colour: 1 }, 5, `functions[0].colour is not a key; it may be ${SECTION_MAY.slice(15)}`],
    [
      { timeoutMs: 1 },
      5,
      "functions[0].timeoutMs is not a key; did you mean functions[0].timeout?",
    ],
    // Ids
    [{ id: "engine::x" }, 2, `functions[0].id is "engine::x"; ${ID_MAY}`],
    [{ id: "millrace::x" }, 2, `functions[0].id is "millrace::x"; ${ID_MAY}`],
    [{ id: "stream::set" }, 2, `functions[0].id is "stream::set"; ${ID_MAY}`],
    [{ id: "stream::list_all" }, 2, `functions[0].id is "stream::list_all"; ${ID_MAY}`],
    [{ id: "" }, 2, `functions[0].id is ""; ${ID_MAY}`],
    [{ id: "a\u0007" }, 2, `functions[0].id is "a\\u0007"; ${ID_MAY}`],
    [{ id: "ä".repeat(129) }, 2, `functions[0].id is "${"ä".repeat(59)}...; ${ID_MAY}`],
    [{ id: 7 }, 2, `functions[0].id is 7; ${ID_MAY}, in quotes`],
    // URLs
    [{ url: "hooks.example.com" }, 3, `functions[0].url is "hooks.example.com"; ${URL_MAY}`],
    [{ url: "ftp://a.example/" }, 3, `functions[0].url is "ftp://a.example/"; ${URL_MAY}`],
    [{ url: "https://a:70000/" }, 3, `functions[0].url is "https://a:70000/"; ${URL_MAY}`],
    [
      { url: "https://ann:hunter2@a.example/" },
      3,
      `functions[0].url is "https://(hidden)@a.example/"; ${URL_MAY}`,
    ],
    [
      { url: "http://ann:hun/ter2@a.example/" },
      3,
      `functions[0].url is "http://(hidden)@a.example/"; ${URL_MAY}`,
    ],
    ...["http://127.0.0.1:9/", "https://[::1]/", "http://localhost:9000/x", "http://10.1.2.3"].map(
      (url) =>
        [
          { url },
          3,
          "functions[0].url leads to a private address; it may do so with allow_private_addresses: true",
        ] as const,
    ),
    // Secrets
    ...["hunter2", SECRET.slice(6), `${SECRET}=`, "whsec_", ""].map(
      (secret) => [{ secret }, 4, `functions[0].secret ${SECRET_WRONG}`] as const,
    ),
    [
      { secret: null },
      4,
      `functions[0].secret ${SECRET_WRONG.replace("is invalid (not shown)", "has no value")}`,
    ],
    // The rest
    [
      { timeout: 5 },
      5,
      "functions[0].timeout is 5; it may be a duration from 10ms to 1h with its unit (ms, s, m, h or d), such as 500ms or 15s",
    ],
    [{ max_attempts: 0 }, 5, "functions[0].max_attempts is 0; it may be an integer from 1 to 100"],
    [
      { initial_backoff: "2h" },
      5,
      'functions[0].initial_backoff is "2h"; it may be a duration from 1ms to 1h with its unit (ms, s, m, h or d), such as 500ms or 15s',
    ],
    [{ allow_redirects: 1 }, 5, "functions[0].allow_redirects is 1; it may be true or false"],
  ])("is refused with %j", async (wrong, line, sentence) => {
    expect(await problemsOf({ yaml: fileOf({ ...GOOD, ...wrong }) })).toEqual([
      `millrace.yaml:${line}: ${sentence}`,
    ]);
  });

  it.each([
    ["id", ID_MAY],
    ["url", URL_MAY],
    ["secret", "it may be whsec_ and 24 to 64 random bytes in base64"],
  ])("requires a key %s", async (key, may) => {
    const { [key as "id"]: _, ...rest } = GOOD;
    expect(await problemsOf({ yaml: fileOf(rest) })).toEqual([
      `millrace.yaml:2: functions[0].${key} has no value; ${may}`,
    ]);
  });

  it.each([
    ["functions: 5", `functions is 5; it may be a list, each of ${SECTION_MAY}`],
    ["functions:", `functions has no value; it may be a list, each of ${SECTION_MAY}`],
    ["functions: { id: f }", `functions is a section; it may be a list, each of ${SECTION_MAY}`],
    ["functions: [[]]", `functions[0] is a list; it may be ${SECTION_MAY}`],
    ["functions: [5]", `functions[0] is 5; it may be ${SECTION_MAY}`],
    [`functions: [${SECRET}]`, `functions[0] is invalid (not shown); it may be ${SECTION_MAY}`],
  ])("must be a section of a list: %s", async (yaml, sentence) => {
    expect(await problemsOf({ yaml })).toEqual([`millrace.yaml:1: ${sentence}`]);
  });

  it("must have a unique id", async () => {
    const problems = await problemsOf({
      yaml: fileOf(GOOD, { ...GOOD, id: "other" }, GOOD, { ...GOOD, id: "other", timeout: 1 }),
    });
    expect(problems).toEqual([
      "millrace.yaml:8: functions[2].id is already the id of functions[0]; it may be any other",
      "millrace.yaml:11: functions[3].id is already the id of functions[1]; it may be any other",
      expect.stringContaining("millrace.yaml:14: functions[3].timeout is 1; it may be a duration"),
    ]);
  });

  it.each(["MILLRACE_FUNCTIONS", "MILLRACE_FUNCTIONS_0_URL", "MILLRACE_FUNCTIONS_SECRET"])(
    "cannot be set by a variable: %s is refused",
    async (name) => {
      for (const value of ["[]", "", "a,b"])
        expect(await problemsOf({ environment: { [name]: value } })).toEqual([
          `${name} ${IN_VARIABLE}`,
        ]);
    },
  );

  it("is in the report with all of its keys, and without its secret", async () => {
    const loaded = await load({ yaml: fileOf({ ...GOOD, timeout: "90s" }) });
    const report = reportOf(loaded);
    expect(report).toContain(
      "functions: [ { id: orders::notify, url: https://hooks.example.com/orders, secret: (hidden), timeout: 90s, max_attempts: 3, initial_backoff: 250ms, allow_redirects: false, allow_private_addresses: false } ] # millrace.yaml:1\n",
    );
    const again = await load({ yaml: report.replace("(hidden)", SECRET) });
    expect(again.config).toEqual(loaded.config);
  });
});

describe("the JSON Schema of functions", () => {
  const schema = z.fromJSONSchema(configJsonSchema());

  it.each([
    [],
    [GOOD],
    [GOOD, { ...GOOD, id: "b", timeout: "1s", allow_redirects: true }],
    [{ ...GOOD, colour: 1 }],
    [{ ...GOOD, timeout: 5 }],
    [{ ...GOOD, max_attempts: 0 }],
    [{ ...GOOD, id: "engine::x" }],
    [{ ...GOOD, url: "https://ann:hunter2@a.example/" }],
    [{ ...GOOD, secret: SECRET.slice(6) }],
    [{ id: "a", url: GOOD.url }],
    [5],
    {},
  ])("accepts %j exactly if the server does", (functions) => {
    expect(schema.safeParse({ functions }).success).toBe(judge({ functions }).length === 0);
  });

  it("accepts placeholders in the place of any value", () => {
    for (const { path } of keyNamed("functions").items) {
      const key = path.at(-1) ?? "";
      const functions = [{ ...GOOD, [key]: "${VARIABLE}" }];
      expect([key, schema.safeParse({ functions }).error]).toEqual([key, undefined]);
    }
    expect(schema.safeParse({ functions: "${LIST}" }).success).toBe(true);
  });
});

describe("docs/webhooks.md", async () => {
  const { snippets } = await readMarkdown("docs/webhooks.md");
  const files = snippets.filter(({ language }) => language === "yaml");

  it.each(files.map((file) => [placeOf(file), file.code]))(
    "shows in %s a valid file",
    async (_, yaml) => {
      const { config } = await load({ yaml, environment: { ORDERS_SECRET: SECRET } });
      expect(config.functions.length).toBeGreaterThan(0);
    },
  );
});
