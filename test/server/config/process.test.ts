import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { StreamService } from "millrace/v1";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ensureBuilt } from "../../../scripts/lib/build.mjs";
import { configJsonSchema } from "../../../src/server/config/json-schema.ts";
import { PROJECT } from "../../docs/markdown.ts";
import { tempFolder } from "./loading.ts";

const CLI = join(PROJECT, "dist", "src", "server", "cli.js");
const GROUP = { streamName: "chat", groupId: "lobby" };

beforeAll(async () => ensureBuilt(PROJECT), 120_000);

/** Starts the command with exactly the given environment. */
function start(args: readonly string[], cwd: string, environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** Runs the command to its end. */
async function run(args: readonly string[], cwd: string, environment?: Record<string, string>) {
  const child = start(args, cwd, environment);
  const ended = once(child, "close");
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [status] = (await ended) as [number | null];
  return { status, stdout, stderr };
}

function clientOf(url: string, token?: string) {
  const transport = createGrpcTransport({
    baseUrl: url,
    interceptors: [
      (next) => async (request) => {
        if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  return createClient(StreamService, transport);
}

describe("millrace serve --config", () => {
  it("applies the file: port, store, tokens, history and heartbeats (G4, G5)", async () => {
    const folder = await tempFolder();
    await mkdir(join(folder, "etc"));
    await writeFile(
      join(folder, "etc", "service.yaml"),
      [
        "port: ${SERVICE_PORT:1}",
        "adapter: { config: { store_method: file_based, file_path: kept } }",
        "api_tokens:",
        "  - ${SERVICE_TOKEN}",
        "history: { max_changes: 2 }",
        "heartbeat_interval: 50ms",
        "log_level: info",
      ].join("\n"),
    );
    const child = start(["serve", "--config", "etc/service.yaml", "--in-memory"], folder, {
      SERVICE_PORT: "0",
      SERVICE_TOKEN: "12345",
      MILLRACE_LOG_LEVEL: "warn",
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const url = /^millrace listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)?.[1] ?? "";
    expect(url).not.toBe("");

    const data = fromJson(ValueSchema, 1);
    const refused = await clientOf(url)
      .set({ ...GROUP, itemId: "a", data })
      .catch(ConnectError.from);
    expect(refused).toMatchObject({ code: Code.Unauthenticated });
    const client = clientOf(url, "12345");
    let epoch = "";
    for (let revision = 1; revision <= 4; revision++)
      epoch = (await client.set({ ...GROUP, itemId: "a", data })).position?.epoch ?? "";

    // A log of two changes reaches back to revision 2, and no further.
    for (const [revision, first] of [
      [2n, "resumed"],
      [1n, "sync"],
    ] as const) {
      const stop = new AbortController();
      const seen: (string | undefined)[] = [];
      try {
        const resumeFrom = { epoch, revision };
        for await (const { frame } of client.subscribe(
          { ...GROUP, resumeFrom },
          { signal: stop.signal },
        )) {
          seen.push(frame.case);
          if (frame.case === "heartbeat") break;
        }
      } finally {
        stop.abort();
      }
      expect([seen[0], seen.at(-1)]).toEqual([first, "heartbeat"]);
    }

    const ended = once(child, "close");
    child.kill("SIGTERM");
    expect((await ended)[0]).toBe(0);
    // The environment overrode the file: nothing below a warning was logged.
    expect(stderr).not.toContain('"level":30');
    // The flag overrode the file: nothing is on disk.
    await expect(readdir(join(folder, "kept"))).rejects.toThrow("ENOENT");
  });

  it("does not start with an invalid file: prints the mistakes on standard error, and exits with 1", async () => {
    const folder = await tempFolder();
    await writeFile(
      join(folder, "millrace.yaml"),
      "port: 0\nhistroy: {}\nadapter: { name: redis, config: { file_path: x } }\n",
    );
    expect(await run(["serve"], folder)).toEqual({
      status: 1,
      stdout: "",
      stderr:
        "millrace: the configuration has 2 mistakes:\n" +
        "  millrace.yaml:2: histroy is not a key; did you mean history?\n" +
        "  millrace.yaml:3: adapter.config.file_path has no effect while adapter.name is redis (millrace.yaml:3); remove it, or set adapter.name to kv\n",
    });
    expect(await run(["serve", "--config", "none.yaml"], folder)).toEqual({
      status: 1,
      stdout: "",
      stderr: "millrace: none.yaml does not exist\n",
    });
  });
});

describe("the hint after the start", () => {
  it.each([
    ["with tokens", { MILLRACE_API_TOKENS: "s3cret-token" }, ""],
    ["with keys", { KEY: "s3cret-token" }, "auth: { keys: [{ name: a, key: '${KEY}' }] }"],
    ["without tokens", {}, ""],
  ])("works as it is printed, and shows no token: %s", async (_, environment, yaml) => {
    const folder = await tempFolder();
    await writeFile(join(folder, "millrace.yaml"), yaml);
    const child = start(["serve", "--port", "0", "--in-memory"], folder, environment);
    let hint = "";
    for await (const text of child.stderr.setEncoding("utf8")) {
      hint += String(text);
      if (hint.endsWith("\n\n")) break;
    }
    expect(hint).not.toContain("s3cret-token");
    const commands = hint.slice(hint.indexOf("  curl")).trim();
    const { stdout } = await promisify(execFile)("bash", ["-c", `set -e; ${commands}`], {
      env: { ...process.env, TOKEN: "s3cret-token" },
    });
    expect(stdout).toContain('"created":true');
    expect(stdout).toContain('"item":{"itemId":"m1","data":{"text":"hello"}');
  });
});

describe("the command", () => {
  it("logs no values from placeholders", async () => {
    const folder = await tempFolder();
    const hook = "{ id: hook, url: 'https://a.example/${PATH_PART}?q=s3cret', secret: '${HOOK}' }";
    await writeFile(join(folder, "millrace.yaml"), `log_level: trace\nfunctions: [${hook}]\n`);
    const child = start(["serve", "--port", "0", "--in-memory"], folder, {
      PATH_PART: "s3cret",
      HOOK: `whsec_${Buffer.from("s3cret-s3cret-s3cret-s3cret").toString("base64")}`,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    await once(child.stdout, "data");
    const ended = once(child, "close");
    child.kill("SIGTERM");
    await ended;
    expect(output).toContain("listening");
    expect(output).not.toMatch(/s3cret|whsec_/);
  });

  it("checks a configuration: prints the settings in force and exits with 0, or the mistakes and exits with 1", async () => {
    const folder = await tempFolder();
    await writeFile(join(folder, "good.yaml"), "api_tokens: [${SECRET}]\n");
    await writeFile(join(folder, "bad.yaml"), "port: x\nhost:\n");
    const good = await run(["check-config", "good.yaml"], folder, {
      SECRET: "s3cret",
      MILLRACE_X: "",
    });
    expect(good).toMatchObject({
      status: 0,
      stderr: "millrace: warning: MILLRACE_X is not a setting and is ignored\n",
    });
    expect(good.stdout).toContain("api_tokens: [ (hidden) ] # good.yaml:1\n");
    expect(good.stdout).not.toContain("s3cret");
    const bad = await run(["check-config", "bad.yaml"], folder);
    expect(bad).toMatchObject({ status: 1, stdout: "" });
    expect(bad.stderr.split("\n")).toHaveLength(4);
  });

  it("chooses the adapter by a flag that names a place for the data", async () => {
    const folder = await tempFolder();
    for (const [args, name, adapter, other] of [
      [["--redis-url", "redis://localhost"], "FILE_PATH", "redis", "kv"],
      [["--in-memory"], "REDIS_URL", "kv", "redis"],
      [["--data", "x"], "REDIS_URL", "kv", "redis"],
    ] as const) {
      const variable = `MILLRACE_ADAPTER_CONFIG_${name}`;
      const environment = { [variable]: "redis://elsewhere", MILLRACE_ADAPTER_NAME: other };
      expect(await run(["serve", ...args], folder, environment)).toEqual({
        status: 1,
        stdout: "",
        stderr: `millrace: ${variable} has no effect while adapter.name is ${adapter} (a flag); remove it, or set adapter.name to ${other}\n`,
      });
    }
  });

  it("begins new epochs in a folder on request, and does not start where that has no meaning (G4)", async () => {
    const folder = await tempFolder();
    const lifeOf = async (...flags: string[]) => {
      const child = start(["serve", "--port", "0", "--data", "kept", ...flags], folder);
      const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
      const client = clientOf(line.replace("millrace listening on ", ""));
      const data = fromJson(ValueSchema, 1);
      const { position } = await client.set({ ...GROUP, itemId: "a", data });
      const ended = once(child, "close");
      child.kill("SIGTERM");
      await ended;
      return position;
    };
    const first = await lifeOf();
    expect(await lifeOf()).toMatchObject({ epoch: first?.epoch, revision: 2n });
    const restored = await lifeOf("--new-epochs");
    expect(restored?.revision).toBe(3n);
    expect(restored?.epoch).not.toBe(first?.epoch);
    expect(await lifeOf()).toMatchObject({ epoch: restored?.epoch, revision: 4n });

    const flags = ["serve", "--port", "0", "--new-epochs"];
    const memory = { MILLRACE_ADAPTER_CONFIG_STORE_METHOD: "in_memory" };
    for (const [args, environment] of [
      [[...flags, "--in-memory"], {}],
      [flags, memory],
    ] as const) {
      const refused = await run(args, folder, environment);
      expect(refused).toMatchObject({ status: 2, stdout: "" });
      expect(refused.stderr).toContain("--new-epochs");
    }
  });

  it("never shows the password of an invalid Redis URL", async () => {
    const url = "redis://:s3cret@localhost:port";
    const { status, stdout, stderr } = await run(["serve", "--redis-url", url], await tempFolder());
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain("option '--redis-url <url>' is invalid (not shown); it may be");
    expect(stderr).not.toContain("s3cret");
  });

  it("prints the JSON Schema", async () => {
    const { status, stdout } = await run(["config-schema"], await tempFolder());
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual(configJsonSchema());
  });

  it.each([
    [["serve", "--port", "x"], "it may be an integer from 0 to 65535."],
    [
      ["serve", "--host", "http://a?s3cret"],
      `option '--host <host>' is "http://a?(hidden)"; it may be an address`,
    ],
    [["serve", "--adapter", "mongo"], "it may be kv or redis."],
    [["serve", "--redis-url", "redis:/localhost"], "option '--redis-url <url>' is invalid"],
    [["serve", "--redis-url", "redis://localhost", "--in-memory"], "cannot be used with"],
    [["serve", "--redis-url", "redis://localhost", "--data", "x"], "cannot be used with"],
    [
      ["serve", "--redis-url", "redis://localhost", "--adapter", "kv"],
      "--redis-url cannot be used with --adapter kv",
    ],
    [["serve", "--adapter", "redis", "--data", "x"], "--data cannot be used with --adapter redis"],
    [
      ["serve", "--in-memory", "--adapter", "redis"],
      "--in-memory cannot be used with --adapter redis",
    ],
    [["serve", "--data", "x", "--in-memory"], "cannot be used with"],
    [["serve", "--prot", "1"], "unknown option '--prot'"],
    [["srve"], "unknown command 'srve'"],
  ])("exits with 2 on wrong usage: %j", async (args, message) => {
    const { status, stdout, stderr } = await run(args, await tempFolder());
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});
