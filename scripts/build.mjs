/** npm run build: installs what is missing and builds dist, if it is not up to date. */
import { ensureBuilt } from "./lib/build.mjs";
import { ensureInstalled } from "./lib/ensure.mjs";
import { PROJECT, command } from "./lib/project.mjs";

await command(async () => {
  await ensureInstalled(PROJECT);
  await ensureBuilt(PROJECT);
});
