/**
 * The baseline of the protocol: an image of the proto files, committed beside them. It follows
 * every addition; a change that breaks clients replaces it only with a reason, which is recorded.
 *
 * It is an image and not a Git commit, so that a shallow clone and a tarball have it too.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure, readIfThere } from "../lib/project.mjs";
import { runTool } from "../lib/tools.mjs";

/** As text, for reviews and merges. */
export const BASELINE = "proto/baseline.txtpb";
/** The file of the reasons. */
export const BREAKING_CHANGES = "proto/breaking-changes.md";

/** Exit status of buf when it reports problems in the files. */
const COMPLAINTS = 100;

const HEADING = `# Breaking changes of the protocol

What clients of an earlier version can rely on no more, and why. \`npm run gen\` writes this file.
`;

/**
 * Lists the changes of the proto files that break the baseline, one per line.
 *
 * @param {string} folder
 * @returns {Promise<string>} Empty when nothing does.
 */
async function breaksOf(folder) {
  const args = ["breaking", "proto", "--exclude-imports", "--against", BASELINE];
  const { code, output } = await runTool(folder, "buf", args);
  if (code !== 0 && code !== COMPLAINTS) throw new Failure(output.trimEnd());
  return code === 0 ? "" : output.trimEnd();
}

/**
 * The check of the gate.
 *
 * @param {string} folder
 * @returns {Promise<string | undefined>} What is wrong.
 */
export async function baselineProblem(folder) {
  try {
    const breaks = await breaksOf(folder);
    if (breaks !== "") {
      return `${breaks}\nThis breaks clients of the committed protocol. Take it back, or say why it has to be: npm run gen -- --breaking "REASON".`;
    }
    if (await isCurrent(folder)) return undefined;
    return `${BASELINE} is not what the proto files say.\nRun npm run gen and commit the result.`;
  } catch (error) {
    if (error instanceof Failure) return error.message;
    throw error;
  }
}

/**
 * Updates the baseline to the proto files.
 *
 * @param {string} folder
 * @param {string | undefined} reason Why clients are broken; undefined: they may not be.
 */
export async function updateBaseline(folder, reason) {
  const breaks = await breaksOf(folder);
  if (breaks !== "" && reason === undefined) {
    throw new Failure(
      `${breaks}\nThis breaks clients of the committed protocol, so ${BASELINE} is left as it was. To break them all the same: npm run gen -- --breaking "REASON".`,
    );
  }
  if (breaks !== "") await record(folder, `${reason}`, breaks);
  if (await isCurrent(folder)) return;
  await build(folder, "proto", join(folder, BASELINE));
}

/**
 * @param {string} folder
 * @param {string} reason
 * @param {string} breaks
 */
async function record(folder, reason, breaks) {
  const path = join(folder, BREAKING_CHANGES);
  const before = (await readIfThere(path)) ?? HEADING;
  const day = new Date().toISOString().slice(0, 10);
  const list = breaks.split("\n").map((line) => `- ${line.replace(/^(\S+?):\d+:\d+:/, "$1: ")}`);
  await writeFile(path, `${before}\n## ${day}: ${reason}\n\n${list.join("\n")}\n`);
}

/**
 * Whether the baseline matches the proto files. Compared in binary: the text differs in whitespace
 * between builds of buf.
 *
 * @param {string} folder
 */
async function isCurrent(folder) {
  const temp = await mkdtemp(join(tmpdir(), "millrace-protocol-"));
  try {
    const [now, then] = await Promise.all(
      ["proto", BASELINE].map(async (input, index) => {
        const image = join(temp, `${index}.binpb`);
        await build(folder, input, image);
        return readFile(image);
      }),
    );
    return now?.equals(then ?? new Uint8Array()) === true;
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

/**
 * @param {string} folder
 * @param {string} input
 * @param {string} output
 */
async function build(folder, input, output) {
  const args = ["build", input, "--exclude-source-info", "-o", output];
  const done = await runTool(folder, "buf", args);
  if (done.code !== 0) throw new Failure(done.output.trimEnd());
}
