import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type LoadedConfig, loadConfig } from "../../../src/server/config/config.ts";
import type { Environment } from "../../../src/server/config/placeholders.ts";
import type { ConfigInput } from "../../../src/server/config/schema.ts";

/** The input of the loader. */
export interface Given {
  /** Content of ./millrace.yaml; absent when there is no such file. */
  readonly yaml?: string | Uint8Array | undefined;
  readonly environment?: Environment | undefined;
  readonly flags?: ConfigInput | undefined;
  /** The file that a flag names. */
  readonly file?: string | undefined;
}

/** A folder that is removed after the test. */
export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-config-"));
  onTestFinished(async () => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Loads a configuration in a folder of its own. */
export async function load(given: Given): Promise<LoadedConfig> {
  const folder = await tempFolder();
  if (given.yaml !== undefined) await writeFile(join(folder, "millrace.yaml"), given.yaml);
  const { environment = {}, flags, file } = given;
  return loadConfig({ environment, flags, file, folder });
}

/** The mistakes of a configuration, one sentence each. */
export async function problemsOf(given: Given): Promise<readonly string[]> {
  try {
    await load(given);
  } catch (error) {
    if (error instanceof Error && "problems" in error) return error.problems as string[];
    throw error;
  }
  throw new Error("The configuration was not refused.");
}
