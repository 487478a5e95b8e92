// Runs a server in a process of its own, from the build, with the options given as JSON in argv[2].
// Prints the same line as `millrace serve` and stops on SIGTERM.
import { createServer } from "../../../dist/src/server/index.js";

const server = await createServer(JSON.parse(process.argv[2] ?? "{}"));
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.stdout.write(`millrace listening on ${server.url}\n`);
