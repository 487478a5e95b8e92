// Runs a server from the build, with the options given as JSON in argv[2]. Prints the same line as
// `millrace serve` and stops on SIGTERM. On SIGUSR2 it collects its garbage, with --expose-gc, and
// prints its memory use, and its CPU time so far in microseconds.
import { createServer } from "../../../dist/src/server/index.js";
import { endWithParent } from "./end-with-parent.mjs";

endWithParent();

const server = await createServer(JSON.parse(process.argv[2] ?? "{}"));
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.on("SIGUSR2", () => {
  globalThis.gc?.();
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const usage = { ...process.memoryUsage(), cpuUs: user + system };
  process.stdout.write(`${JSON.stringify(usage)}\n`);
});
process.stdout.write(`millrace listening on ${server.url}\n`);
