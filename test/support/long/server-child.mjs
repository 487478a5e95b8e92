// Runs a server from the build, with the options given as JSON in argv[2]. Prints the same line as
// `millrace serve` and stops on SIGTERM. With --expose-gc, it collects its garbage on SIGUSR2, and
// prints its memory use.
import { createServer } from "../../../dist/src/server/index.js";
import { endWithParent } from "./end-with-parent.mjs";

endWithParent();

const server = await createServer(JSON.parse(process.argv[2] ?? "{}"));
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.on("SIGUSR2", () => {
  globalThis.gc?.();
  globalThis.gc?.();
  process.stdout.write(`${JSON.stringify(process.memoryUsage())}\n`);
});
process.stdout.write(`millrace listening on ${server.url}\n`);
