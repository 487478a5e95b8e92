/**
 * npm start [-- arguments]: installs and builds what is missing, then serves.
 *
 * The command runs in this very process, so that signals, the exit status and stdout are its own.
 * All earlier output goes to stderr.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ensureBuilt } from "./lib/build.mjs";
import { ensureInstalled } from "./lib/ensure.mjs";
import { PROJECT, command } from "./lib/project.mjs";

await command(async () => {
  await ensureInstalled(PROJECT);
  await ensureBuilt(PROJECT);
});
if (process.exitCode === 0) {
  const cli = join(PROJECT, "dist", "src", "server", "cli.js");
  process.argv = [process.execPath, cli, "serve", ...process.argv.slice(2)];
  process.setSourceMapsEnabled(true);
  await import(pathToFileURL(cli).href);
}
