// Uses the library, then runs a server from the build. Prints a JSON line with its `url`. On
// SIGTERM it only closes the server: the process must end by itself. If it is still alive after a
// second, it prints its active resources and exits with 3. argv[2]: the `store` option of
// createServer.
import { createStreamService, memoryStore } from "../../../dist/src/index.js";
import { createServer } from "../../../dist/src/server/index.js";

const store = JSON.parse(process.argv[2] ?? "{}");

const library = createStreamService({ store: memoryStore() });
const group = { streamName: "s", groupId: "g" };
await library.subscribe(group);
await library.set({ ...group, itemId: "i", data: 1 });
await library.close();

const server = await createServer({
  port: 0,
  workerPort: 0,
  store,
  authFunction: "auth",
  settleTimeoutMs: 200,
  webhooks: [{ id: "hook", url: "https://hooks.example.com/x", secret: `whsec_${"A".repeat(32)}` }],
  async setup(service) {
    await service.registerFunction("auth", () => ({}));
    await service.registerFunction("f", () => 1);
    await service.registerTrigger({
      type: "stream",
      function_id: "f",
      config: { stream_name: "s" },
    });
    await service.registerTrigger({ type: "stream:leave", function_id: "f" });
  },
});
const stop = async () => {
  await server.close();
  setTimeout(() => {
    process.stdout.write(`${JSON.stringify(process.getActiveResourcesInfo())}\n`);
    process.exit(3);
  }, 1000).unref();
};
process.once("SIGTERM", () => void stop());
process.stdout.write(`${JSON.stringify({ url: server.url })}\n`);
