// Runs a server from the build that prints a JSON line for each join that its gate receives, and
// for each leave that its trigger receives: {"kind": "join" or "leave", "payload"}. The first line
// is {"kind": "listening", "url"}. It stops on SIGTERM. argv[2]: { store: options of the store;
// gate: whether it provides the gate; late: whether it registers the leave trigger only on SIGUSR2,
// and then prints {"kind": "registered"}; listens: whether it has a join listener instead of a gate,
// whose calls it prints as joins; presenceTimeoutMs: of the server; stuck: the group whose leave calls never finish }.
// The context of a caller is the `user` in the query of its URL.
import { createServer } from "../../../dist/src/server/index.js";

const { store, gate, late, listens, presenceTimeoutMs, stuck } = JSON.parse(
  process.argv[2] ?? "{}",
);

/** @param {object} line */
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** @param {import("../../../dist/src/index.js").StreamService} service */
const registerLeaveTrigger = async (service) => {
  await service.registerFunction("leaves", (payload) => {
    print({ kind: "leave", payload });
    return payload.group_id === stuck ? new Promise(() => {}) : undefined;
  });
  await service.registerTrigger({ type: "stream:leave", function_id: "leaves" });
};

const server = await createServer({
  port: 0,
  store,
  authFunction: "auth",
  settleTimeoutMs: 200,
  presenceTimeoutMs,
  async setup(service) {
    await service.registerFunction("auth", ({ query_params: { user } }) => ({
      context: { user: user?.[0] ?? null },
    }));
    if (gate || listens) {
      await service.registerFunction("gate", ({ action, ...payload }) => {
        if (action !== "subscribe") throw new Error(`The action is ${action}.`);
        print({ kind: "join", payload });
      });
      const config = { gate: !listens };
      await service.registerTrigger({ type: "stream:join", function_id: "gate", config });
    }
    if (!late) await registerLeaveTrigger(service);
  },
});
process.on("SIGUSR2", () => {
  void registerLeaveTrigger(server.service).then(() => print({ kind: "registered" }));
});
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
print({ kind: "listening", url: server.url });
