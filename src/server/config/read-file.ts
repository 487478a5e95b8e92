import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";

/** The file in the working directory that is read by default, if it exists. */
export const DEFAULT_FILE = "millrace.yaml";

/** Largest file that is read. No sensible configuration is larger. */
const MAX_FILE_BYTES = 1024 * 1024;

/** A file's text, or the end of a sentence about why it cannot be read. */
export type FileText = { readonly text: string } | { readonly problem: string };

/** The default file of a folder; undefined when there is none. */
export async function findDefaultFile(folder: string): Promise<string | undefined> {
  try {
    await stat(join(folder, DEFAULT_FILE));
    return DEFAULT_FILE;
  } catch (error) {
    // A file that exists but cannot be inspected fails when it is read, with a reason.
    return codeOf(error) === "ENOENT" ? undefined : DEFAULT_FILE;
  }
}

/** Reads a file as UTF-8. */
export async function readText(path: string): Promise<FileText> {
  try {
    const file = await open(path);
    try {
      return await readAll(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    const why: Readonly<Record<string, string>> = {
      ENOENT: "does not exist",
      ENOTDIR: "does not exist",
      EISDIR: "is a folder; name a file",
      EACCES: "may not be read by this user",
      EPERM: "may not be read by this user",
    };
    const code = codeOf(error);
    return { problem: why[code] ?? `cannot be read (${code})` };
  }
}

async function readAll(file: FileHandle): Promise<FileText> {
  // The size cannot be trusted: a pipe has none, and a device may have no end.
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(64 * 1024) });
    if (bytesRead === 0) break;
    chunks.push(buffer.subarray(0, bytesRead));
    bytes += bytesRead;
    if (bytes > MAX_FILE_BYTES) return { problem: "is larger than 1 MiB; it may be smaller" };
  }
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)) };
  } catch {
    return { problem: "is not text in UTF-8" };
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "unknown error";
}
