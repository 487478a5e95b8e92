// Runs a server of a fleet from the build, with a join gate that admits the members whom a file
// lists: `{"<group>": ["<user>", ...]}`. It reads the file for each question.
// argv[2]: { options: of createServer, file }
import { readFileSync } from "node:fs";
import { createServer } from "../../../dist/src/server/index.js";
import { endWithParent } from "./end-with-parent.mjs";

endWithParent();

const { options, file } = JSON.parse(process.argv[2] ?? "{}");

const server = await createServer({
  ...options,
  async setup(service) {
    await service.registerFunction("members", ({ group_id: group, user }) => {
      const members = JSON.parse(readFileSync(file, "utf8"))[group] ?? [];
      return { unauthorized: !members.includes(user) };
    });
    await service.registerTrigger({ type: "stream:join", function_id: "members" });
  },
});
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.stdout.write(`millrace listening on ${server.url}\n`);
