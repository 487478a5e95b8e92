import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT } from "../../scripts/lib/project.mjs";

/** The image of the Dockerfile. */
export interface Image {
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workdir: string;
  readonly volume: string;
  readonly stopSignal: string;
  /** Entry point and arguments. */
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
  /** Commands that the last stage runs while it is built. */
  readonly runs: readonly string[];
}

/** Reads the last stage of the Dockerfile. */
export async function readImage(): Promise<Image> {
  const text = await readFile(join(PROJECT, "Dockerfile"), "utf8");
  const lines = text
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n");
  const stage = lines.slice(lines.findLastIndex((line) => line.startsWith("FROM ")));
  const all = (word: string) =>
    stage.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const one = (word: string) => {
    const [value, ...others] = all(word);
    if (value === undefined || others.length > 0)
      throw new Error(`The last stage of the Dockerfile must have exactly one ${word} line.`);
    return value;
  };
  const env = one("ENV")
    .split(" ")
    .map((pair): [string, string] => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)];
    });
  const check = one("HEALTHCHECK");
  return {
    env: Object.fromEntries(env),
    user: one("USER"),
    workdir: one("WORKDIR"),
    volume: one("VOLUME"),
    stopSignal: one("STOPSIGNAL"),
    command: [
      ...(JSON.parse(one("ENTRYPOINT")) as string[]),
      ...(JSON.parse(one("CMD")) as string[]),
    ],
    healthcheck: JSON.parse(check.slice(check.indexOf("CMD ") + 4)) as string[],
    runs: all("RUN"),
  };
}
