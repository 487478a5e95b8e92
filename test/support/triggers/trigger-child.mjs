// Runs a server from the build, with a function that is called with every change of the stream
// "long". It writes the revision of each call to a file, after a random delay. argv[2]: { options:
// of createServer, file, run: name of this process in the file, maxDelayMs }
import { appendFileSync } from "node:fs";
import { createServer } from "../../../dist/src/server/index.js";
import { endWithParent } from "../long/end-with-parent.mjs";

endWithParent();

const { options, file, run, maxDelayMs } = JSON.parse(process.argv[2] ?? "{}");
const server = await createServer({
  ...options,
  async setup(service) {
    await service.registerFunction("log", async ({ revision }) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * maxDelayMs));
      appendFileSync(file, `${run} ${revision}\n`);
    });
    const config = { stream_name: "long" };
    await service.registerTrigger({ type: "stream", function_id: "log", config });
  },
});
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.stdout.write(`millrace listening on ${server.url}\n`);
