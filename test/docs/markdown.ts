import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's folder, without a final slash. */
export const PROJECT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** All documents, relative to the project. */
export const DOCUMENTS = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "docs/ai-text.md",
  "docs/architecture.md",
  "docs/configuration.md",
  "docs/custom-streams.md",
  "docs/decisions.md",
  "docs/functions.md",
  "docs/gates.md",
  "docs/glossary.md",
  "docs/go.md",
  "docs/guarantees.md",
  "docs/iii-sdk.md",
  "docs/lifetimes.md",
  "docs/moving-from-iii-stream.md",
  "docs/operations.md",
  "docs/performance.md",
  "docs/protocol.md",
  "docs/proxies.md",
  "docs/python.md",
  "docs/rights.md",
  "docs/stores.md",
  "docs/streams.md",
  "docs/triggers.md",
  "docs/webhooks.md",
  "docs/workers.md",
] as const;

/** A fenced block. */
export interface Snippet {
  readonly document: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** First word after the fence, for example `bash`. */
  readonly language: string;
  /** The rest of that line, for example `SetRequest`. */
  readonly label: string;
  readonly code: string;
  /** The comments right before the block, for example `not run: npm test`. */
  readonly marks: readonly string[];
}

/** A parsed document. */
export interface Markdown {
  readonly path: string;
  readonly text: string;
  readonly snippets: readonly Snippet[];
  /** Headings with their level, without the marks. */
  readonly headings: readonly { readonly level: number; readonly text: string }[];
  /** Targets of links, in order. */
  readonly links: readonly string[];
}

const FENCE = /^```(\w*)[ ]?(.*)$/;
const MARK = /^<!-- (.*) -->$/;

/** Reads a document of the project. */
export async function readMarkdown(path: string): Promise<Markdown> {
  const text = await readFile(join(PROJECT, path), "utf8");
  const snippets: Snippet[] = [];
  const headings: { level: number; text: string }[] = [];
  const links: string[] = [];
  let marks: string[] = [];
  let open: { line: number; language: string; label: string; code: string[] } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    if (open !== undefined) {
      if (line !== "```") {
        open.code.push(line);
        continue;
      }
      const { code, ...head } = open;
      snippets.push({ document: path, ...head, code: code.join("\n"), marks });
      open = undefined;
      marks = [];
      continue;
    }
    const fence = FENCE.exec(line);
    const mark = MARK.exec(line);
    if (fence !== null)
      open = { line: index + 1, language: fence[1] ?? "", label: fence[2] ?? "", code: [] };
    else if (mark !== null) marks.push(mark[1] ?? "");
    else if (line !== "") marks = [];
    if (fence !== null || mark !== null) continue;
    const heading = /^(#+) (.*)$/.exec(line);
    if (heading !== null) headings.push({ level: heading[1]?.length ?? 0, text: heading[2] ?? "" });
    for (const link of line.matchAll(/\]\(([^)\s]+)\)/g)) links.push(link[1] ?? "");
  }
  if (open !== undefined) throw new Error(`${path}:${open.line}: the block is never closed.`);
  return { path, text, snippets, headings, links };
}

/**
 * The rows of the first table after a heading, without its own heading row.
 *
 * @param heading Text of the heading; empty for the first table of the text given.
 */
export function tableAfter(text: string, heading: string): string[][] {
  const from = heading === "" ? 0 : text.search(new RegExp(`^#+ ${heading}$`, "m"));
  if (from < 0) throw new Error(`There is no heading "${heading}".`);
  const lines = text.slice(from).split("\n");
  const start = lines.findIndex((line) => line.startsWith("| -"));
  const rows = lines.slice(start + 1);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return rows.slice(0, end < 0 ? undefined : end).map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The texts in backticks in a cell. */
export function codesOf(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
}

/** The anchor that GitHub generates for a heading. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");
}

/** Value of a mark such as `file: examples/watch.mjs`; undefined when the block has none. */
export function markOf({ marks }: Snippet, name: string): string | undefined {
  const found = marks.find((mark) => mark === name || mark.startsWith(`${name}: `));
  return found?.slice(name.length + 2);
}

/** Whether a block is a WebSocket frame: its label names the sender and the frame. */
export function isSocketFrame({ label }: Snippet): boolean {
  return /^(?:Client|Server)Frame /.test(label);
}

/** The location of a block, for titles and messages. */
export function placeOf({ document, line, language }: Snippet): string {
  return `${document}:${line} (${language})`;
}
