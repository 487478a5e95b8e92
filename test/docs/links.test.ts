import { access } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { DOCUMENTS, PROJECT, anchorOf, readMarkdown } from "./markdown.ts";

const documents = await Promise.all(DOCUMENTS.map(readMarkdown));
const anchors = new Map(
  documents.map(({ path, headings }) => [path, headings.map(({ text }) => anchorOf(text))]),
);

/** The problem of a link; undefined when its target exists. */
async function linkProblem(from: string, link: string): Promise<string | undefined> {
  if (link.startsWith("http://") || link.startsWith("https://")) return undefined;
  const [file = "", anchor] = link.split("#");
  const path = file === "" ? from : normalize(join(dirname(from), file));
  try {
    await access(join(PROJECT, path));
  } catch {
    return `${from}: ${link}: there is no ${path}`;
  }
  if (anchor === undefined || anchors.get(path)?.includes(anchor)) return undefined;
  return `${from}: ${link}: ${path} has no such heading`;
}

describe("links between the documents", () => {
  it("lead to files and headings that exist", async () => {
    const problems = documents.flatMap(({ path, links }) =>
      links.map(async (link) => linkProblem(path, link)),
    );
    expect((await Promise.all(problems)).filter((problem) => problem !== undefined)).toEqual([]);
  });

  it("reach every document from the README", () => {
    const linked = documents[0]?.links.map((link) => link.split("#")[0]);
    expect(linked).toEqual(expect.arrayContaining(DOCUMENTS.slice(1)));
  });

  it("cover all headings of a document that has a table of contents", () => {
    for (const { path, headings, links } of documents) {
      if (!links.some((link) => link.startsWith("#"))) continue;
      const own = headings.filter(({ level }) => level === 2);
      const missing = own.filter(({ text }) => !links.includes(`#${anchorOf(text)}`));
      expect(missing.map(({ text }) => `${path}: ${text}`)).toEqual([]);
    }
  });
});

describe("the documents", () => {
  it("have unique headings, so that each can be linked", () => {
    for (const own of anchors.values()) expect(own).toEqual([...new Set(own)]);
  });

  it("do not install millrace from a registry, since it is not published", () => {
    for (const { text } of documents) {
      expect(text).not.toMatch(/\b(?:npm|pnpm|yarn) (?:i|install|add|exec) millrace\b/);
      expect(text).not.toMatch(/\b(?:npx|npm create) millrace\b/);
    }
  });
});
