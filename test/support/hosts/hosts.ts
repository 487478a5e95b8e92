import type { Host } from "./host.ts";
import { grpcWorkerHost } from "./grpc-worker-host.ts";
import { iiiWorkerHost } from "./iii-worker-host.ts";
import { inProcessHost } from "./in-process-host.ts";

/** Every place where functions can run. */
export const HOSTS: readonly Host[] = [inProcessHost, grpcWorkerHost, iiiWorkerHost];
