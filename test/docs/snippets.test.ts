import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type JsonValue, createRegistry, fromJson } from "@bufbuild/protobuf";
import {
  type TestContext,
  afterAll,
  beforeAll,
  describe,
  expect,
  it,
  onTestFinished,
} from "vitest";
import { file_millrace_v1_stream_service } from "../../gen/millrace/v1/stream_service_pb.ts";
import { withLock } from "../../scripts/lib/lock.mjs";
import {
  DOCUMENTS,
  PROJECT,
  type Snippet,
  isSocketFrame,
  markOf,
  placeOf,
  readMarkdown,
} from "./markdown.ts";
import { redisProgram } from "../support/redis/required-redis.ts";
import { run, start } from "./processes.ts";
import { comparable } from "./comparable.ts";
import {
  type Compiled,
  type Workspace,
  awaitedText,
  compile,
  openWorkspace,
  programOf,
} from "./workspace.ts";

/** Blocks that these tests do not run, by their mark, with the reason. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "npm start": "the workspace of the README runs it, with a separate port and folder",
  "npm test": "these tests are part of it",
  "npm run demo": "test/demo runs it",
};

/** Known languages of blocks; a block with a misspelt one would not run. */
const LANGUAGES = [
  "bash",
  "caddyfile",
  "haproxy",
  "js",
  "json",
  "mermaid",
  "nginx",
  "python",
  "text",
  "ts",
  "yaml",
];

const KEEPS_RUNNING = "keeps running once it shows";
const PYTHON_TIMEOUT_MS = 240_000;
const registry = createRegistry(file_millrace_v1_stream_service);
const documents = await Promise.all(DOCUMENTS.map(readMarkdown));
const snippets = documents.flatMap((document) => document.snippets);
const programs = snippets.filter(({ language }) => language === "ts");

/** Lines of blocks that prepare the Python environment, which all blocks of these tests share. */
const INSTALLS = /^python3 -m venv |^\S+ -m pip install /;
/** Those that have run: a second document begins with the same ones. */
const done = new Set<string>();

/** Responses of the service, by the block with the request. */
const responses = new Map<Snippet, JsonValue>();

describe("blocks of the documents", () => {
  it("have a known language", () => {
    const unknown = snippets.filter(({ language }) => !LANGUAGES.includes(language));
    expect(unknown.map(placeOf)).toEqual([]);
  });

  it("run, unless they are listed here with a reason", () => {
    const marked = snippets.map((snippet) => markOf(snippet, "not run"));
    expect(marked.filter((mark) => mark !== undefined).toSorted()).toEqual(
      Object.keys(NOT_RUN).toSorted(),
    );
  });

  it("that show a file match its content", async () => {
    const shown = snippets.filter((snippet) => markOf(snippet, "file") !== undefined);
    expect(shown.length).toBeGreaterThan(0);
    for (const snippet of shown) {
      const file = await readFile(join(PROJECT, markOf(snippet, "file") ?? ""), "utf8");
      const withoutHeading = file.replace(/^(?:(?:\/\/|#).*\n)+/, "");
      expect([placeOf(snippet), `${snippet.code}\n`]).toEqual([placeOf(snippet), withoutHeading]);
    }
  });
});

const withRuns = documents
  .map(({ path, snippets: own }) => ({ path, own, runs: own.filter(isRun) }))
  .filter(({ runs }) => runs.length > 0);

let compiled: Compiled;

beforeAll(async () => {
  compiled = await compile(programs);
}, 120_000);

afterAll(async () => compiled?.close());

describe.each(withRuns)("$path", ({ path, own, runs }) => {
  let workspace: Workspace;

  beforeAll(async () => {
    expect(compiled.problemsOf(path)).toBe("");
    workspace = await openWorkspace(
      path === "README.md" ? "npm start" : "embedded",
      compiled.folder,
    );
  }, 120_000);

  afterAll(async () => workspace?.close());

  for (const snippet of runs) {
    const isPython = markOf(snippet, "python") !== undefined;
    it(
      `works as documented: ${placeOf(snippet)}`,
      async (context) => {
        switch (snippet.language) {
          case "bash":
            if (isPython) await python(context, snippet, workspace);
            else if (markOf(snippet, KEEPS_RUNNING) !== undefined)
              await keep(context, snippet, workspace);
            else await shell(snippet, snippet.code, workspace);
            break;
          case "ts":
            if (markOf(snippet, "file") === undefined)
              await shell(snippet, `node ${programOf(snippet)}`, workspace);
            break;
          case "json":
            await json(snippet, own, workspace);
            break;
        }
      },
      isPython ? PYTHON_TIMEOUT_MS : 60_000,
    );
  }
});

function isRun(snippet: Snippet): boolean {
  // test/server/config covers the configuration files, and frames.test.ts the WebSocket frames.
  const isElsewhere =
    ["text", "yaml", "js", "mermaid"].includes(snippet.language) || isSocketFrame(snippet);
  return !isElsewhere && markOf(snippet, "not run") === undefined;
}

/** Starts the program of a block, and keeps it running for later blocks. */
async function keep(
  context: TestContext,
  snippet: Snippet,
  { folder, withPorts, keep: keepRunning }: Workspace,
): Promise<void> {
  let path = "";
  if (snippet.code.startsWith("redis-server")) {
    const redis = await redisProgram();
    if ("missing" in redis) return context.skip(redis.missing);
    path = `redis-server() { '${redis.program}' "$@"; }\n`;
  }
  const running = start(path + withPorts(snippet.code), folder);
  keepRunning(running);
  await running.shows((printed) => printed.includes(markOf(snippet, KEEPS_RUNNING) ?? ""));
}

/** Runs a block to its end, or until it prints its awaited text. */
async function shell(
  snippet: Snippet,
  code: string,
  { folder, withPorts }: Workspace,
): Promise<void> {
  const running = start(withPorts(code), folder);
  onTestFinished(async () => running.stop());
  const awaited = awaitedText(snippet);
  if (awaited !== undefined) {
    await running.shows((printed) => printed.includes(awaited));
    return;
  }
  const { status, stdout, stderr } = await running.ended();
  if (status !== 0) throw new Error(`It ended with ${status}:\n${stdout}${stderr}`);
  const response = jsonOf(stdout);
  if (response === undefined) return;
  responses.set(snippet, response);
  const isError = typeof response === "object" && response !== null && "code" in response;
  if (isError !== (markOf(snippet, "answers with an error") !== undefined))
    throw new Error(`The response is:\n${stdout}`);
}

/**
 * Runs a block that needs Python. Skips it with a reason when Python or its package registry is
 * missing.
 */
async function python(context: TestContext, snippet: Snippet, workspace: Workspace) {
  // All runs of these tests share one environment, one run at a time.
  await withLock(
    join(PROJECT, ".cache", "python-lock"),
    () => {},
    async () => {
      try {
        const lines = snippet.code.split("\n");
        await shell(snippet, lines.filter((line) => !done.has(line)).join("\n"), workspace);
        for (const line of lines) if (INSTALLS.test(line)) done.add(line);
      } catch (error) {
        const missing = await pythonProblem(workspace.folder);
        if (missing !== undefined) context.skip(missing);
        throw error;
      }
    },
  );
}

/** The reason why Python's tools are not available; undefined when they are. */
async function pythonProblem(folder: string): Promise<string | undefined> {
  const venv = await run("python3 -c 'import venv, ensurepip'", folder);
  if (venv.status !== 0) return "python3 with venv and ensurepip is not installed here";
  const download =
    "python3 -m pip download --quiet --no-deps --dest .python-probe grpcio-tools && rm -r .python-probe";
  const { status, stderr } = await run(download, folder);
  if (status === 0) return undefined;
  return `pip cannot get grpcio-tools here: ${stderr.trim().split("\n").at(-1)}`;
}

/**
 * Checks an example: it must be JSON of the message that its label names, the service must accept a
 * request, and a response must match the one to the block right before.
 */
async function json(snippet: Snippet, own: readonly Snippet[], workspace: Workspace) {
  const example = JSON.parse(snippet.code) as JsonValue;
  if (snippet.label !== "") {
    const message = registry.getMessage(`millrace.v1.${snippet.label}`);
    if (message === undefined) throw new Error(`There is no message ${snippet.label}.`);
    fromJson(message, example);
  }
  const method = /^(\w+)Request$/.exec(snippet.label)?.[1];
  if (method !== undefined) {
    const url = workspace.withPorts("http://127.0.0.1:3112/millrace.v1.StreamService/");
    const response = await fetch(`${url}${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: snippet.code,
    });
    const body = (await response.json()) as JsonValue;
    if (!response.ok) throw new Error(`The response is: ${JSON.stringify(body)}`);
    responses.set(snippet, body);
    return;
  }
  const before = own[own.indexOf(snippet) - 1];
  const received = before === undefined ? undefined : responses.get(before);
  if (received !== undefined) expect(comparable(received)).toEqual(comparable(example));
}

function jsonOf(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}
