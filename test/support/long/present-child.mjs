// Runs a server of a fleet from the build, with a trigger for the stream "cursors". Each call of it
// for the delete of an item appends a line to a file: GROUP REVISION ITEM CAUSE
// argv[2]: { options: of createServer, file }
import { appendFileSync } from "node:fs";
import { createServer } from "../../../dist/src/server/index.js";
import { endWithParent } from "./end-with-parent.mjs";

endWithParent();

const { options, file } = JSON.parse(process.argv[2] ?? "{}");

const server = await createServer({
  ...options,
  async setup(service) {
    // Every member of the fleet provides the same function; each call reaches one of them.
    await service.registerFunction("deletes", ({ groupId, revision, id, event }) => {
      if (event.type === "delete")
        appendFileSync(file, `${groupId} ${revision} ${id} ${event.cause ?? "none"}\n`);
    });
    const config = { stream_name: "cursors" };
    await service.registerTrigger({ type: "stream", function_id: "deletes", config });
  },
});
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.stdout.write(`millrace listening on ${server.url}\n`);
