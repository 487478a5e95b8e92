import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { DescMessage } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  StreamService,
  file_millrace_v1_stream_service,
} from "../../gen/millrace/v1/stream_service_pb.ts";
import { IMPORT_TABLE } from "../../scripts/gate/import-table.mjs";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
import { CLOSE } from "../../src/bridge/close-codes.ts";
import { REASONS } from "../../src/core/errors.ts";
import type { ServerOptions } from "../../src/server/server.ts";
import { PROJECT, codesOf, readMarkdown, tableAfter } from "./markdown.ts";
import { run } from "./processes.ts";

const readme = await readMarkdown("README.md");
const architecture = await readMarkdown("docs/architecture.md");
const decisions = await readMarkdown("docs/decisions.md");
const guarantees = await readMarkdown("docs/guarantees.md");
const operations = await readMarkdown("docs/operations.md");
const protocol = await readMarkdown("docs/protocol.md");

/** The options of createServer. The compiler checks that none is missing. */
const OPTIONS: Record<keyof ServerOptions, true> = {
  host: true,
  port: true,
  store: true,
  history: true,
  streams: true,
  idempotencyWindowMs: true,
  apiTokens: true,
  apiTokenFile: true,
  drainDelayMs: true,
  auth: true,
  insecure: true,
  allowedOrigins: true,
  publicUrl: true,
  onDecision: true,
  heartbeatIntervalMs: true,
  presenceTimeoutMs: true,
  stallTimeoutMs: true,
  subscriberQueue: true,
  bridge: true,
  callerLimits: true,
  maxSnapshotBytes: true,
  onFailure: true,
  onProblem: true,
  logger: true,
  now: true,
  authFunction: true,
  joinGate: true,
  writeGate: true,
  gateTimeoutMs: true,
  functionLimits: true,
  triggerLimits: true,
  settleTimeoutMs: true,
  coordinator: true,
  setup: true,
  webhooks: true,
  workerPort: true,
  workerAllowedOrigins: true,
  workerLimits: true,
  maxBodyBytesInFlight: true,
};

describe("README.md", () => {
  it("lists all guarantees with their names in docs/guarantees.md", () => {
    const rows = tableAfter(readme.text, "What you can rely on");
    const named = rows.map(([number, name]) => `${number} ${name}`);
    const headings = guarantees.headings.map(({ text }) => text);
    expect(named).toEqual(headings.filter((text) => /^G\d+ /.test(text)));
    expect(named).toHaveLength(11);
  });
});

describe("docs/operations.md", () => {
  it("lists the flags of the command, with their defaults", async () => {
    await ensureBuilt(PROJECT);
    const { stdout } = await run("node dist/src/server/cli.js serve --help", PROJECT);
    const flags = [...stdout.matchAll(/^ {2}(--[\w-]+)[^]*?(?=^ {2}-|(?![^]))/gm)].map(
      ([text, flag]) => [flag, /\(.*default:\s+"?([^")]+)"?\)/.exec(text)?.[1] ?? ""],
    );
    expect(flags.length).toBeGreaterThan(0);
    const documented = tableAfter(operations.text, "Start it").map(([flag = "", value = ""]) => [
      codesOf(flag)[0],
      codesOf(value)[0] ?? "",
    ]);
    expect(documented).toEqual(flags);
  });

  it("lists the options of createServer", () => {
    const documented = tableAfter(operations.text, "Inside a program").flatMap(([name = ""]) =>
      codesOf(name),
    );
    expect(documented.toSorted()).toEqual(Object.keys(OPTIONS).toSorted());
  });
});

describe("docs/protocol.md", () => {
  it("has a section for every method", () => {
    const headings = protocol.headings.map(({ text }) => text);
    expect(headings).toEqual(
      expect.arrayContaining(StreamService.methods.map((method) => method.name)),
    );
  });

  it("names every field of every request, response and frame", () => {
    const missing = file_millrace_v1_stream_service.messages
      .flatMap(fieldsOf)
      .filter((field) => !protocol.text.includes(`\`${field}\``));
    expect([...new Set(missing)]).toEqual([]);
  });

  it("lists every error reason with its code", () => {
    const rows = tableAfter(protocol.text, "Errors").map(([reason = "", code = ""]) => [
      codesOf(reason)[0],
      codesOf(code)[0]?.toLowerCase(),
    ]);
    expect(rows).toEqual(Object.entries(REASONS).map(([reason, { code }]) => [reason, code]));
  });

  it("lists every close code of the bridge", () => {
    const documented = tableAfter(protocol.text, "Closing").map(([code]) => Number(code));
    expect(documented).toEqual(expect.arrayContaining(Object.values(CLOSE)));
  });
});

describe("docs/architecture.md", () => {
  it("lists the modules of src and their permitted imports", async () => {
    const manifest = await manifestOf();
    const installed = Object.keys(manifest.dependencies);
    const modules = await modulesOfSource();
    // The import table may also name modules and packages that do not exist yet.
    const expected = modules.map((module) => {
      const allowed = IMPORT_TABLE[module] ?? [];
      return [
        module,
        allowed
          .filter((name) => isKnown(name, [...modules, ...installed]))
          .map(wordFor)
          .toSorted()
          .join(", ") || "nothing",
      ];
    });
    const documented = tableAfter(architecture.text, "Modules").map(([module = "", , may = ""]) => [
      codesOf(module)[0],
      may
        .split(", ")
        .map((name) => name.replaceAll("`", ""))
        .toSorted()
        .join(", "),
    ]);
    const byModule = (rows: readonly (readonly unknown[])[]) =>
      Object.fromEntries(rows as readonly (readonly [string, string])[]);
    expect(byModule(documented)).toEqual(byModule(expected));
  });
});

describe("docs/decisions.md", () => {
  it("gives a reason for every dependency, and for no others", async () => {
    const { dependencies, devDependencies } = await manifestOf();
    const tables = decisions.text.slice(decisions.text.indexOf("\n## Dependencies"));
    const [running = "", developing = ""] = tables.split("For development:");
    const named = (text: string) => tableAfter(text, "").map(([name = ""]) => codesOf(name)[0]);
    expect(named(running)).toEqual(Object.keys(dependencies));
    expect(named(developing)).toEqual(Object.keys(devDependencies));
  });
});

/** Names of all fields of a message and of the messages within it. */
function fieldsOf(message: DescMessage): string[] {
  return [
    ...message.fields.map((field) => field.name),
    ...message.nestedMessages
      .filter((nested) => !nested.typeName.endsWith("MetadataEntry"))
      .flatMap(fieldsOf),
  ];
}

/** Modules as the import table names them: folders and files of src. */
async function modulesOfSource(): Promise<string[]> {
  const source = join(PROJECT, "src");
  const top = await readdir(source);
  // Each store and each coordinator is a separate module.
  const modules = top.map(async (name) =>
    name === "stores" || name === "coordinators"
      ? (await readdir(join(source, name))).map((inner) => `${name}/${inner}`)
      : [name],
  );
  return (await Promise.all(modules)).flat().toSorted();
}

function isKnown(name: string, known: readonly string[]): boolean {
  return ["gen", "node:", "*"].includes(name) || known.includes(name);
}

/** An entry of the import table in the words of the document. */
function wordFor(name: string): string {
  const words: Record<string, string> = {
    gen: "generated code",
    "node:": "Node",
    "*": "everything",
  };
  return words[name] ?? name;
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

async function manifestOf(): Promise<Manifest> {
  return JSON.parse(await readFile(join(PROJECT, "package.json"), "utf8")) as Manifest;
}
