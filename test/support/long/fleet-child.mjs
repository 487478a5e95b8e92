// Runs a server of a fleet from the build, with its own functions. Each call of a function appends
// a line to a file:
//   log NAME GROUP REVISION     a change, received by the trigger of this process
//   join ID TIME                a subscription that every gate allowed
//   leave ID TIME               the end of that subscription
// argv[2]: { options: of createServer, name, file, refused: folder of refuse-users.mjs }
import { appendFileSync } from "node:fs";
import { createServer } from "../../../dist/src/server/index.js";
import { endWithParent } from "./end-with-parent.mjs";
import { refuseUsers } from "./refuse-users.mjs";

endWithParent();

const { options, name, file, refused } = JSON.parse(process.argv[2] ?? "{}");

/** @param {string} line */
const write = (line) => appendFileSync(file, `${line}\n`);

const server = await createServer({
  ...options,
  async setup(service) {
    await refuseUsers(service, refused);
    await service.registerFunction(`log-${name}`, ({ groupId, revision, event }) => {
      if (event.type !== "event") write(`log ${name} ${groupId} ${revision}`);
    });
    await service.registerTrigger({
      type: "stream",
      function_id: `log-${name}`,
      config: { stream_name: "long" },
    });
    // Every member of the fleet provides the same functions; each call reaches one of them.
    for (const kind of /** @type {const} */ (["join", "leave"])) {
      await service.registerFunction(kind, ({ subscription_id: id }) => {
        write(`${kind} ${id} ${Date.now()}`);
      });
      const config = kind === "join" ? { gate: false } : {};
      await service.registerTrigger({ type: `stream:${kind}`, function_id: kind, config });
    }
  },
});
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.stdout.write(`millrace listening on ${server.url}\n`);
