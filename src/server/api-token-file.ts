import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** ASCII without spaces, because callers send a token in a header after "Bearer". */
const TOKEN = /^[\x21-\x7e]+$/;
/** Random bytes of a created token. */
const TOKEN_BYTES = 32;

/** The token of a file. */
export interface FileToken {
  readonly token: string;
  /** Whether the file was created now. */
  readonly isNew: boolean;
}

/**
 * Reads the token that a file holds. A missing file is created with a random token, readable by its
 * owner only.
 *
 * @throws Error with a sentence for the operator when the file cannot be read or created, or holds
 *   no token.
 */
export async function readTokenFile(file: string): Promise<FileToken> {
  try {
    let text = await textOf(file);
    if (text === undefined) {
      const created = await createToken(file);
      if (created !== undefined) return { token: created, isNew: true };
      text = await readFile(file, "utf8");
    }
    const token = text.trim();
    if (TOKEN.test(token)) return { token, isNew: false };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new Error(`api_token_file is ${file}, which cannot be read or created (${code}).`, {
      cause: error,
    });
  }
  throw new Error(
    `api_token_file is ${file}, which holds no token; it may hold one line of ASCII without spaces, or be removed: then it is created.`,
  );
}

/** @returns undefined when there is no file. */
async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** @returns undefined when the file exists already. */
async function createToken(file: string): Promise<string | undefined> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  // The link makes the file appear with all of its content: other processes may read it meanwhile.
  const draft = `${file}.${randomBytes(8).toString("hex")}`;
  try {
    await writeFile(draft, `${token}\n`, { mode: 0o600, flag: "wx", flush: true });
    await link(draft, file);
    return token;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}
