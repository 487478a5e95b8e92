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

/** The configuration of a file in which HOST, which others reach, is no reason to refuse. */
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
  ])("%j is read again as YAML, so it becomes a number", async (yaml, port) => {
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
  ])("%j is text where text is wanted", async (yaml, host) => {
    expect((await configOf(yaml)).host).toBe(host);
  });

  it("may stand in lists and between brackets, and hold there what would be YAML", async () => {
    const { api_tokens, history } = await configOf(
      [
        "api_tokens: [${TOKEN}, '${NUMERIC}', ${NUMERIC}, ${HASH}, ${TRAILING}, ${UNSET:a,b]}]",
        "history: { max_changes: ${UNSET:5}, max_age: ${UNSET:2h} }",
      ].join("\n"),
    );
    expect(api_tokens).toEqual(["s3cret", "12345", "12345", "a#b:c", "s3cret", "a,b]"]);
    expect(history).toMatchObject({ max_changes: 5, max_age: 7_200_000 });
  });

  it("may bring a whole list or section", async () => {
    const config = await configOf("api_tokens: ${LISTED}\nhistory: ${SECTION}");
    expect(config.api_tokens).toEqual(["x", "y"]);
    expect(config.history).toMatchObject({ max_changes: 7, max_age: 7_200_000 });
  });

  it("are not looked for in what they bring", async () => {
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

  it("never cut a secret short at what YAML would take for a comment", async () => {
    expect(
      await problemsOf({ yaml: "api_tokens:\n  - ${COMMENT}", environment: ENVIRONMENT }),
    ).toEqual([
      "millrace.yaml:2: api_tokens[0] is wrong (it is not shown here); it may be text without spaces, in ASCII",
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
      "port has a placeholder as shells write it, ${UNSET:-default}; here it is ${UNSET:default}",
    ],
    [
      "port: ${UNSET:${PORT}}",
      "port has a placeholder within the default of UNSET, which may be plain text",
    ],
    ["port: ${PORT", "port has a ${ that begins no placeholder; one is ${NAME} or ${NAME:default}"],
    ["port: ${}", "port has a ${ that begins no placeholder; one is ${NAME} or ${NAME:default}"],
    ["port: ${1X}", "port has a ${ that begins no placeholder; one is ${NAME} or ${NAME:default}"],
    [
      "port: x${PORT}",
      "port is wrong (it is not shown here); it may be an integer from 0 to 65535",
    ],
  ])("%j is refused", async (yaml, complaint) => {
    expect(await problemsOf({ yaml, environment: ENVIRONMENT })).toEqual([
      `millrace.yaml:1: ${complaint}`,
    ]);
  });

  it("name every variable that is missing", async () => {
    const problems = await problemsOf({
      yaml: "api_tokens:\n  - ${ONE}\n  - ${TWO}\nhost: ${THREE}",
    });
    expect(problems.map((problem) => /variable (\w+)/.exec(problem)?.[1])).toEqual([
      "ONE",
      "TWO",
      "THREE",
    ]);
  });

  it("are no names of keys", async () => {
    const [problem] = await problemsOf({ yaml: "${PORT}: 3", environment: ENVIRONMENT });
    expect(problem).toContain("${PORT} is not a key");
  });
});
