/* Ours. */
import { pino } from "pino";
import { createServer } from "../../dist/src/server/index.js";

/**
 * Opens the part.
 *
 * @param {object} options
 * @param {NonNullable<import("../../dist/src/server/index.js").ServerOptions["store"]>}
 *   [options.store]
 * @param {number} [options.heartbeatIntervalMs]
 * @param {number} [options.triggers] How many there are that never match. With any, one more
 *   matches.
 */
export async function open({ store = { kind: "in_memory" }, heartbeatIntervalMs, triggers = 0 }) {
  const server = await createServer({
    port: 0,
    store,
    heartbeatIntervalMs,
    // Suppresses warnings, which are for operators, and the name of the machine.
    logger: pino({ level: "error", base: null }, pino.destination(2)),
    // Clients of the benchmark send no pongs.
    bridge: { pingIntervalMs: 3_600_000 },
    async setup(service) {
      if (triggers === 0) return;
      await service.registerFunction("f", () => {});
      for (let i = 0; i < triggers; i++) {
        // Half of them match the same stream, but another group.
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
  return { info: { url: server.url }, close: async () => server.close() };
}
