import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ensureBuilt } from "../../../scripts/lib/build.mjs";
import { hashOfKey } from "../../../src/rights/keys.ts";
import { PROJECT } from "../../docs/markdown.ts";
import { tempFolder } from "../config/loading.ts";

const CLI = join(PROJECT, "dist", "src", "server", "cli.js");
const SECRET = "s3cret-s3cret-s3cret-s3cret-s3cret";

beforeAll(async () => ensureBuilt(PROJECT), 120_000);

/** A folder with a configuration. */
async function folderWith(yaml: string): Promise<string> {
  const folder = await tempFolder();
  await writeFile(join(folder, "millrace.yaml"), yaml);
  return folder;
}

/** Runs the command to its end, with text on standard input. */
async function run(
  cwd: string,
  args: readonly string[],
  env: Record<string, string> = {},
  input = "",
) {
  const child = spawn(process.execPath, [CLI, ...args], { cwd, env });
  const ended = once(child, "close");
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [status] = (await ended) as [number | null];
  return { status, stdout, stderr };
}

describe("millrace key", () => {
  it("prints a new key, and the line for the configuration", async () => {
    const { stdout } = await run(await tempFolder(), ["key"]);
    const [, key = "", hash] =
      /^key: (mk_[\w-]{43})\nkey_sha256: ([\da-f]{64})\n$/.exec(stdout) ?? [];
    expect(hashOfKey(key)).toBe(hash);
  });
});

describe("millrace token and millrace may", () => {
  const yaml = `auth:
  jwt: [{ algorithms: [HS256], secret: "\${SECRET}" }]
  rules: [{ actions: [read], stream: chat, group: "{user}" }]
`;

  it("make a token, and read it from a variable or from standard input", async () => {
    const folder = await folderWith(yaml);
    const made = await run(folder, ["token", "--user", "ann", "--ttl", "1h"], { SECRET });
    expect(made).toMatchObject({ status: 0, stderr: "" });
    expect(made.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const yes = {
      status: 0,
      stdout:
        'yes: auth.rules[0] allows it (user ann)\nmillrace.yaml:3: { actions: [read], stream: "chat", group: "{user}" }\n',
      stderr: "",
    };
    const may = (as: string, ...args: string[]) =>
      run(folder, ["may", "--as", as, ...args], { SECRET, TOKEN: made.stdout }, made.stdout);
    expect(await may("-", "read", "chat", "ann", "m1")).toEqual(yes);
    expect(await may("env:TOKEN", "read", "chat", "ann")).toEqual(yes);
    expect(await may(made.stdout.trim(), "read", "chat", "bob")).toEqual({
      ...{ status: 1, stdout: "no: no rule allows it (user ann)\n", stderr: "" },
    });
  });

  it("exit with 2 when there is no answer, and with 1 when there is no token", async () => {
    const folder = await folderWith("auth: { jwt: [] }\nport: x\n");
    const good = await tempFolder();
    const cases = [
      [good, ["may", "--as", "anonymous", "raed"], 2, "Did you mean read\\?"],
      [good, ["may", "--as", "env:NONE", "read"], 2, "names the variable NONE, which is not set"],
      [good, ["may", "--as", "-", "read"], 2, "standard input holds no key and no token"],
      [folder, ["may", "--as", "anonymous", "read"], 2, 'millrace.yaml:2: port is "x"'],
      [good, ["token", "--user", "ann", "--ttl", "1h"], 1, "auth\\.jwt has no entry with a secret"],
      [good, ["token", "--user", "ann"], 2, "required option '--ttl <duration>' not specified"],
    ] as const;
    const done = await Promise.all(cases.map(([cwd, args]) => run(cwd, args)));
    for (const [index, [, args, status, sentence]] of cases.entries()) {
      expect([args, done[index]]).toEqual([
        args,
        { status, stdout: "", stderr: expect.stringMatching(sentence) },
      ]);
    }
  });
});
