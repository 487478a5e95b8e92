import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runTool } from "../../scripts/lib/tools.mjs";
import { freePort } from "../support/long/child-server.ts";
import { PROJECT, type Snippet, markOf } from "./markdown.ts";
import { type Running, start } from "./processes.ts";

/** The environment of a reader of the documents: a copy of the project, and a service. */
export interface Workspace {
  readonly folder: string;
  /** The text with the service's port in place of the default one. */
  readonly withPorts: (text: string) => string;
  /** Stops kept commands and the service, and removes the folder. */
  close(): Promise<void>;
  /** Keeps a command running until the workspace closes. */
  keep(running: Running): void;
}

const COPIED = ["examples", "proto", "package.json", "buf.yaml", "tsconfig.json"];
const LINKED = ["node_modules", "dist", "scripts", "src", "gen", "third_party", ".cache"];
const COMPILED = "compiled";
const LISTENING = /^millrace listening on http:\/\/127\.0\.0\.1:(\d+)$/m;

/** Default ports of programs that documents start beside the service. */
const OTHER_PORTS = ["6379", "3201", "3202", "3203", "3204"];

/**
 * Makes a workspace with a separate service, started as the README describes, except for its port
 * and data folder.
 */
export async function openWorkspace(): Promise<Workspace> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-docs-"));
  const data = await mkdtemp(join(tmpdir(), "millrace-docs-data-"));
  let service: Running | undefined;
  const kept: Running[] = [];
  const close = async () => {
    // In reverse order of their start.
    for (const running of kept.reverse()) await running.stop();
    await service?.stop();
    await Promise.all([folder, data].map((path) => rm(path, { recursive: true, force: true })));
  };
  try {
    service = start(`npm start --silent -- --port 0 --data '${data}'`, PROJECT);
    const printed = await service.shows((text) => LISTENING.test(text));
    const port = LISTENING.exec(printed)?.[1] ?? "";
    const others = new Map<string, string>();
    for (const other of OTHER_PORTS) others.set(other, String(await freePort()));
    const withPorts = (text: string) =>
      text.replaceAll(/3112|6379|320[1234]/g, (known) => others.get(known) ?? port);
    await fill(folder, withPorts);
    return { folder, withPorts, close, keep: (running) => void kept.push(running) };
  } catch (error) {
    await close();
    throw error;
  }
}

async function fill(folder: string, withPorts: (text: string) => string): Promise<void> {
  await mkdir(join(PROJECT, ".cache"), { recursive: true });
  for (const path of COPIED) await cp(join(PROJECT, path), join(folder, path), { recursive: true });
  for (const path of LINKED) await symlink(join(PROJECT, path), join(folder, path));
  const examples = await readdir(join(folder, "examples"), {
    recursive: true,
    withFileTypes: true,
  });
  for (const entry of examples) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    await writeFile(file, withPorts(await readFile(file, "utf8")));
  }
}

/** Path of the compiled program of a TypeScript block, in the workspace. */
export function programOf({ document, line }: Snippet): string {
  return `${COMPILED}/${baseOf(document)}-${line}.js`;
}

/**
 * Type-checks all TypeScript blocks against the built package, and compiles them.
 *
 * @returns the errors of the compiler, or an empty text. File names contain document and line.
 */
export async function compile(
  { folder, withPorts }: Workspace,
  snippets: readonly Snippet[],
): Promise<string> {
  const sources = join(folder, "blocks");
  await mkdir(sources);
  for (const snippet of snippets) {
    const name = `${baseOf(snippet.document)}-${snippet.line}.ts`;
    await writeFile(join(sources, name), withPorts(snippet.code));
  }
  const config = {
    extends: "../tsconfig.json",
    compilerOptions: {
      noEmit: false,
      rootDir: ".",
      outDir: `../${COMPILED}`,
      // The built package, not its sources.
      paths: {},
      allowImportingTsExtensions: false,
    },
    include: ["*.ts"],
  };
  await writeFile(join(sources, "tsconfig.json"), JSON.stringify(config));
  const { code, output } = await runTool(PROJECT, "tsc", ["-p", sources]);
  return code === 0 ? "" : output;
}

/** The text that a block must print, when it runs until it is stopped. */
export function awaitedText(snippet: Snippet): string | undefined {
  return markOf(snippet, "runs until it shows");
}

function baseOf(document: string): string {
  return document.replaceAll(/[^a-z]/gi, "-");
}
