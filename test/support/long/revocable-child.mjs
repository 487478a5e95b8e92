// Runs a server from the build that refuses users. Prints the same line as `millrace serve` and
// stops on SIGTERM.
// argv[2]: { options: of createServer, refused: folder of refuse-users.mjs }
import { createServer } from "../../../dist/src/server/index.js";
import { endWithParent } from "./end-with-parent.mjs";
import { refuseUsers } from "./refuse-users.mjs";

endWithParent();

const { options, refused } = JSON.parse(process.argv[2] ?? "{}");

const server = await createServer({
  ...options,
  setup: (service) => refuseUsers(service, refused),
});
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.stdout.write(`millrace listening on ${server.url}\n`);
