// A server with triggers: argv: store, folder, how many that do not match. With any, one matches.
import { createServer } from "../dist/src/server/index.js";

const [store = "in_memory", folder = "", count = "0"] = process.argv.slice(2);
const server = await createServer({
  port: 0,
  store: store === "in_memory" ? { kind: "in_memory" } : { kind: "file_based", folder },
  async setup(service) {
    if (count === "0") return;
    await service.registerFunction("f", () => {});
    for (let i = 0; i < Number(count); i++) {
      // Half of them are about the same stream, and another group.
      const config =
        i % 2 === 0
          ? { stream_name: `other${i}` }
          : { stream_name: "bench", group_id: `other${i}` };
      await service.registerTrigger({ type: "stream", function_id: "f", config });
    }
    const config = { stream_name: "bench" };
    await service.registerTrigger({ type: "stream", function_id: "f", config });
  },
});
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
process.stdout.write(`${server.url}\n`);
