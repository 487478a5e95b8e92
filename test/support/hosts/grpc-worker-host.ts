import { registerWorker } from "millrace/worker";
import { openProxy } from "../doors/proxy.ts";
import type { Host } from "./host.ts";

/** Functions in a worker that uses the SDK of this project, over gRPC. */
export const grpcWorkerHost: Host = {
  name: "a worker over gRPC",
  can: { causes: true, signals: true, results: true },
  async join({ url }) {
    const proxy = await openProxy(Number(new URL(url).port));
    const worker = registerWorker(proxy.url, { workerName: "test" });
    return {
      registerFunction: (id, handler) => worker.registerFunction(id, handler),
      registerTrigger: (request) => worker.registerTrigger(request),
      trigger: (request) => worker.trigger(request),
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
