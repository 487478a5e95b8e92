import { describe, expect, it } from "vitest";
import { load, problemsOf } from "./loading.ts";

const ENVIRONMENT = {
  PORT: "4000",
  HOST: "10.0.0.1",
  TOKEN: "s3cret",
  NUMERIC: "12345",
  HASH: "a#b:c",
  COMMENT: "a #b",
  LISTED: "[x, y]",
  TRAILING: "s3cret\n",
  QUOTED: '"in quotes"',
  SECTION: "{ max_changes: 7, max_age: 2h }",
  EMPTY: "",
  DOLLAR: "${PORT}",
};

/** Loads a file with `insecure: true`, because other machines can reach HOST. */
async function configOf(yaml: string) {
  return (await load({ yaml: `insecure: true\n${yaml}`, environment: ENVIRONMENT })).config;
}

describe("placeholders", () => {
  it.each([
    ["port: ${PORT}", 4000],
    ["port: ${UNSET:3112}", 3112],
    ['port: "${PORT}"', 4000],
    ["port: '${UNSET:5}'", 5],
    ["port: ${PORT} # ${NOT_READ}", 4000],
    ["# ${NOT_READ}\nport: ${UNSET:0x10}", 16],
  ])("are parsed as YAML again, and become a number in %j", async (yaml, port) => {
    expect((await configOf(yaml)).port).toBe(port);
  });

  it.each([
    ["host: ${HOST}", "10.0.0.1"],
    ["host: a-${NUMERIC}-${UNSET:b}.c", "a-12345-b.c"],
    ["host: ${NUMERIC}", "12345"],
    ['host: ${UNSET:"quoted"}', "quoted"],
    ["host: ${UNSET:'quoted'}", "quoted"],
    ['host: "${UNSET:"nested"}"', "nested"],
    ["host: '${UNSET:''nested''}'", "nested"],
    ["host: '${UNSET:it''s}'", "it's"],
    ['host: "${UNSET:\\u0041}"', "A"],
    ["host: ${UNSET:a,b:c#d@e}", "a,b:c#d@e"],
    ["host: |\n  ${HOST}\n", "10.0.0.1"],
    ["host: >-\n  ${HOST}", "10.0.0.1"],
    ["host: ${UNSET:\uE000}${HOST}", "\uE00010.0.0.1"],
  ])("are text where the key takes text, as in %j", async (yaml, host) => {
    expect((await configOf(yaml)).host).toBe(host);
  });

  it("may be in lists and between brackets, and hold YAML syntax there", async () => {
    const { api_tokens, history } = await configOf(
      [
        "api_tokens: [${TOKEN}, '${NUMERIC}', ${NUMERIC}, ${HASH}, ${TRAILING}, ${UNSET:a,b]}]",
        "history: { max_changes: ${UNSET:5}, max_age: ${UNSET:2h} }",
      ].join("\n"),
    );
    expect(api_tokens).toEqual(["s3cret", "12345", "12345", "a#b:c", "s3cret", "a,b]"]);
    expect(history).toMatchObject({ max_changes: 5, max_age: 7_200_000 });
  });

  it("may stand for a whole list or section", async () => {
    const config = await configOf("api_tokens: ${LISTED}\nhistory: ${SECTION}");
    expect(config.api_tokens).toEqual(["x", "y"]);
    expect(config.history).toMatchObject({ max_changes: 7, max_age: 7_200_000 });
  });

  it("are not resolved in the values of others", async () => {
    expect(
      (await configOf("adapter: { config: { file_path: ${DOLLAR} } }")).adapter.config,
    ).toMatchObject({
      store_method: "file_based",
      file_path: "${PORT}",
    });
  });

  it("work behind anchors and aliases", async () => {
    const { history, limits } = await configOf(
      "history: { max_bytes: &size ${UNSET:64MiB} }\nlimits: { max_waiting_bytes: *size }",
    );
    expect(history.max_bytes).toBe(67_108_864);
    expect(limits.max_waiting_bytes).toBe(67_108_864);
  });

  it("never cut a secret short at a `#` that would begin a comment in YAML", async () => {
    expect(
      await problemsOf({ yaml: "api_tokens:\n  - ${COMMENT}", environment: ENVIRONMENT }),
    ).toEqual([
      "millrace.yaml:2: api_tokens[0] is invalid (not shown); it may be text without spaces, in ASCII",
    ]);
  });

  it.each([
    [
      "port: ${UNSET}",
      "port needs the environment variable UNSET, which is not set; set it, or give it a default: ${UNSET:default}",
    ],
    ["port: ${EMPTY}", "port has no value; it may be an integer from 0 to 65535"],
    [
      "port: ${UNSET:-3112}",
      "port has a placeholder in shell syntax, ${UNSET:-default}; here it is ${UNSET:default}",
    ],
    [
      "port: ${UNSET:${PORT}}",
      "port has a placeholder within the default of UNSET, which may be plain text",
    ],
    [
      "port: ${PORT",
      "port has a ${ that begins no placeholder; a placeholder is ${NAME} or ${NAME:default}",
    ],
    [
      "port: ${}",
      "port has a ${ that begins no placeholder; a placeholder is ${NAME} or ${NAME:default}",
    ],
    [
      "port: ${1X}",
      "port has a ${ that begins no placeholder; a placeholder is ${NAME} or ${NAME:default}",
    ],
    ["port: x${PORT}", "port is invalid (not shown); it may be an integer from 0 to 65535"],
  ])("are refused in %j", async (yaml, complaint) => {
    expect(await problemsOf({ yaml, environment: ENVIRONMENT })).toEqual([
      `millrace.yaml:1: ${complaint}`,
    ]);
  });

  it("report every missing variable", async () => {
    const problems = await problemsOf({
      yaml: "api_tokens:\n  - ${ONE}\n  - ${TWO}\nhost: ${THREE}",
    });
    expect(problems.map((problem) => /variable (\w+)/.exec(problem)?.[1])).toEqual([
      "ONE",
      "TWO",
      "THREE",
    ]);
  });

  it("must not be in keys", async () => {
    const [problem] = await problemsOf({ yaml: "${PORT}: 3", environment: ENVIRONMENT });
    expect(problem).toContain("${PORT} is not a key");
  });
});
