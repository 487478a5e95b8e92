import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { readTokenFile } from "../../src/server/api-token-file.ts";

async function tempFolder() {
  const folder = await mkdtemp(join(tmpdir(), "millrace-token-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

describe("the token file", () => {
  it("is created for its owner only, with its folder, and read from then on", async () => {
    const file = join(await tempFolder(), "new", "token");
    const { token, isNew } = await readTokenFile(file);
    expect(isNew).toBe(true);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(await readFile(file, "utf8")).toBe(`${token}\n`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readTokenFile(file)).toEqual({ token, isNew: false });
  });

  it("has one token even if many processes create it at once", async () => {
    const file = join(await tempFolder(), "token");
    const tokens = await Promise.all(Array.from({ length: 20 }, () => readTokenFile(file)));
    expect(new Set(tokens.map(({ token }) => token)).size).toBe(1);
    expect(tokens.filter(({ isNew }) => isNew)).toHaveLength(1);
  });

  it("may be written by hand; one without a token is refused without showing its content", async () => {
    const file = join(await tempFolder(), "token");
    await writeFile(file, "by-hand\n");
    expect(await readTokenFile(file)).toEqual({ token: "by-hand", isNew: false });
    await writeFile(file, "two words\n");
    const refused = readTokenFile(file);
    await expect(refused).rejects.toThrow("which holds no token");
    await expect(refused).rejects.not.toThrow("two words");
  });

  it("is refused with a reason when it cannot be read", async () => {
    await expect(readTokenFile(await tempFolder())).rejects.toThrow(
      "cannot be read or created (EISDIR)",
    );
  });
});
