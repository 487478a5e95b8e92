/**
 * node scripts/tool.mjs TOOL [arguments]: runs a development tool in the project's folder, after
 * installing what is missing, so that each npm script works in a fresh clone.
 */
import { ensureInstalled } from "./lib/ensure.mjs";
import { Failure, PROJECT, command } from "./lib/project.mjs";
import { isTool, runTool } from "./lib/tools.mjs";

await command(async () => {
  const [tool, ...args] = process.argv.slice(2);
  if (!isTool(tool))
    throw new Failure(`There is no tool "${tool ?? ""}": see scripts/lib/tools.mjs.`);
  await ensureInstalled(PROJECT);
  const { code } = await runTool(PROJECT, tool, args, { inherit: true });
  return code;
});
