/**
 * npm run gen: generates code from the proto files, and updates the committed image of the
 * protocol. It refuses changes that break clients, unless there is a reason: npm run gen --
 * --breaking "REASON".
 */
import { parseArgs } from "node:util";
import { updateBaseline } from "./gate/protocol-baseline.mjs";
import { ensureInstalled } from "./lib/ensure.mjs";
import { Failure, PROJECT, command } from "./lib/project.mjs";
import { runTool } from "./lib/tools.mjs";

await command(async () => {
  const reason = reasonFrom(process.argv.slice(2));
  await ensureInstalled(PROJECT);
  const { code } = await runTool(PROJECT, "buf", ["generate"], { inherit: true });
  if (code !== 0) return code;
  await updateBaseline(PROJECT, reason);
  return 0;
});

/** @param {string[]} args */
function reasonFrom(args) {
  try {
    const { values } = parseArgs({ args, options: { breaking: { type: "string" } } });
    if (values.breaking?.trim() === "")
      throw new Failure("--breaking has no value; it may be why clients are broken.");
    return values.breaking;
  } catch (error) {
    throw new Failure(error instanceof Error ? error.message : String(error));
  }
}
