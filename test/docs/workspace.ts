import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "millrace/server";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
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
 * Makes a workspace with a separate service and data folder.
 *
 * @param how How to start the service: as the README describes, or in this process, which takes a
 *   small part of the time.
 * @param compiled The folder of the compiled programs.
 */
export async function openWorkspace(
  how: "npm start" | "embedded",
  compiled: string,
): Promise<Workspace> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-docs-"));
  const data = await mkdtemp(join(tmpdir(), "millrace-docs-data-"));
  let stopService = async () => {};
  const kept: Running[] = [];
  const close = async () => {
    // In reverse order of their start.
    for (const running of kept.reverse()) await running.stop();
    await stopService();
    await Promise.all([folder, data].map((path) => rm(path, { recursive: true, force: true })));
  };
  try {
    let port: string;
    if (how === "npm start") {
      const service = start(`npm start --silent -- --port 0 --data '${data}'`, PROJECT);
      stopService = async () => service.stop();
      const printed = await service.shows((text) => LISTENING.test(text));
      port = LISTENING.exec(printed)?.[1] ?? "";
    } else {
      const server = await createServer({ port: 0, store: { kind: "file_based", folder: data } });
      stopService = async () => server.close();
      ({ port } = new URL(server.url));
    }
    const others = new Map<string, string>();
    for (const other of OTHER_PORTS) others.set(other, String(await freePort()));
    const withPorts = (text: string) =>
      text.replaceAll(/3112|6379|320[1234]/g, (known) => others.get(known) ?? port);
    await fill(folder, compiled, withPorts);
    return { folder, withPorts, close, keep: (running) => void kept.push(running) };
  } catch (error) {
    await close();
    throw error;
  }
}

async function fill(
  folder: string,
  compiled: string,
  withPorts: (text: string) => string,
): Promise<void> {
  await mkdir(join(PROJECT, ".cache"), { recursive: true });
  for (const path of COPIED) await cp(join(PROJECT, path), join(folder, path), { recursive: true });
  for (const path of LINKED) await symlink(join(PROJECT, path), join(folder, path));
  await cp(compiled, join(folder, COMPILED), { recursive: true });
  for (const withDefaultPorts of ["examples", COMPILED]) {
    const files = await readdir(join(folder, withDefaultPorts), {
      recursive: true,
      withFileTypes: true,
    });
    for (const entry of files) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      await writeFile(file, withPorts(await readFile(file, "utf8")));
    }
  }
}

/** Path of the compiled program of a TypeScript block, in the workspace. */
export function programOf({ document, line }: Snippet): string {
  return `${COMPILED}/${baseOf(document)}-${line}.js`;
}

/** The compiled TypeScript blocks of all documents. */
export interface Compiled {
  /** Holds the programs. */
  readonly folder: string;
  /** The lines of the compiler about a document, or an empty text. They name document and line. */
  problemsOf(document: string): string;
  /** Removes the folder. */
  close(): Promise<void>;
}

/** Type-checks TypeScript blocks against the built package, and compiles them. */
export async function compile(snippets: readonly Snippet[]): Promise<Compiled> {
  await ensureBuilt(PROJECT);
  const home = await mkdtemp(join(tmpdir(), "millrace-docs-blocks-"));
  const close = async () => rm(home, { recursive: true, force: true });
  try {
    for (const path of ["package.json", "tsconfig.json"])
      await cp(join(PROJECT, path), join(home, path));
    for (const path of ["node_modules", "dist"])
      await symlink(join(PROJECT, path), join(home, path));
    const sources = join(home, "blocks");
    await mkdir(sources);
    for (const snippet of snippets)
      await writeFile(
        join(sources, `${baseOf(snippet.document)}-${snippet.line}.ts`),
        snippet.code,
      );
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
    const names = snippets.map(({ document }) => baseOf(document));
    const lines = code === 0 ? [] : output.trimEnd().split("\n");
    return {
      folder: join(home, COMPILED),
      problemsOf: (document) =>
        lines
          .filter(
            (line) => line.includes(baseOf(document)) || !names.some((name) => line.includes(name)),
          )
          .join("\n"),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The text that a block must print, when it runs until it is stopped. */
export function awaitedText(snippet: Snippet): string | undefined {
  return markOf(snippet, "runs until it shows");
}

function baseOf(document: string): string {
  return document.replaceAll(/[^a-z]/gi, "-");
}
