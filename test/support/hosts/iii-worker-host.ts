import { randomUUID } from "node:crypto";
import { FunctionError, type TriggerRequest } from "millrace";
import { registerWorker } from "iii-sdk";
import { openProxy } from "../doors/proxy.ts";
import type { Host } from "./host.ts";

/**
 * Functions in a worker that uses the published SDK of iii, unchanged, over a WebSocket.
 *
 * The SDK does not report when a registration is in force. Frames take effect in order, so the
 * response to a later call proves it. Refused registrations go unnoticed.
 */
export const iiiWorkerHost: Host = {
  name: "a worker of iii-sdk",
  can: { causes: false, signals: false, results: false },
  async join({ url }) {
    const proxy = await openProxy(Number(new URL(url).port));
    const address = proxy.url.replace("http", "ws");
    const worker = registerWorker(`${address}/worker`, {
      workerName: "test",
      otel: { enabled: false },
      enableMetricsReporting: false,
    });
    const settled = async () => {
      await worker.trigger({ function_id: "stream::list_all", payload: {} });
    };
    return {
      async registerFunction(id, handler) {
        const signal = new AbortController().signal;
        const { unregister } = worker.registerFunction(id, (payload: unknown, metadata: unknown) =>
          Promise.resolve(handler(payload, { metadata, signal })),
        );
        await settled();
        return {
          async unregister() {
            unregister();
            await settled();
          },
        };
      },
      async registerTrigger({ type, function_id, config, metadata }: TriggerRequest) {
        const { unregister } = worker.registerTrigger({
          type,
          function_id,
          config,
          metadata,
        } as never);
        await settled();
        return {
          async unregister() {
            unregister();
            await settled();
          },
        };
      },
      async trigger({ function_id, payload, metadata, timeout_ms: timeoutMs }) {
        try {
          return (await worker.trigger({
            function_id,
            payload,
            ...(metadata !== undefined && { metadata }),
            ...(timeoutMs !== undefined && { timeoutMs }),
          })) as unknown;
        } catch (error) {
          const { code, message } = error as { code?: string; message: string };
          throw new FunctionError(code ?? randomUUID(), message, { cause: error });
        }
      },
      async close() {
        await worker.shutdown();
        await proxy.close();
      },
      async vanish() {
        await proxy.close();
        await worker.shutdown();
      },
    };
  },
};
