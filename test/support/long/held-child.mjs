// Runs a server from the build, with the options given as JSON in argv[2]. Prints the same line as
// `millrace serve` and stops on SIGTERM. With --expose-gc, it collects its garbage on SIGUSR2, and
// prints as JSON what it then holds: { heapUsed: bytes, listeners: of all emitters and signals,
// resources: the sorted result of process.getActiveResourcesInfo() }.
import { liveListeners } from "./live-listeners.mjs";
import { endWithParent } from "./end-with-parent.mjs";

// Counts only listeners of modules imported from here on.
const { createServer } = await import("../../../dist/src/server/index.js");

endWithParent();

const server = await createServer(JSON.parse(process.argv[2] ?? "{}"));
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.on("SIGUSR2", () => {
  globalThis.gc?.();
  // A second collection frees the targets of weak references that were kept until the turn ended.
  setTimeout(() => {
    globalThis.gc?.();
    const held = {
      heapUsed: process.memoryUsage().heapUsed,
      listeners: liveListeners(),
      resources: process.getActiveResourcesInfo().toSorted(),
    };
    process.stdout.write(`${JSON.stringify(held)}\n`);
  }, 10);
});
process.stdout.write(`millrace listening on ${server.url}\n`);
