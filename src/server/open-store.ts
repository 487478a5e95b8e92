import { localCoordinator } from "../coordinators/local/local-coordinator.ts";
import type { Coordinator } from "../core/coordinator.ts";
import type { Store } from "../core/store.ts";
import type { CommitQueueLimits } from "../stores/lmdb/commit-queue.ts";
import { memoryStore } from "../stores/memory/memory-store.ts";
import type { OperatorLog, RedisOptions, StreamRetention } from "./open-redis.ts";

/** The store to open. */
export type StoreOptions =
  | {
      /** One process, on disk: durable before acknowledged. */
      readonly kind: "file_based";
      /** Data folder; created when missing. */
      readonly folder: string;
      /**
       * Begins a new epoch in every group. Needed after a whole disk was restored from a snapshot;
       * the service detects all other copies itself. Default false.
       */
      readonly beginNewEpochs?: boolean | undefined;
      /** Limits of the writes that are queued for the disk. Absent ones have their defaults. */
      readonly queue?:
        | Partial<Pick<CommitQueueLimits, "maxWaiting" | "maxWaitingBytes">>
        | undefined;
    }
  | {
      /** One process, in memory: lost when it ends. */
      readonly kind: "in_memory";
    }
  | RedisOptions;

/** A store, and the coordinator of the processes that share it. */
export interface OpenedStore {
  readonly store: Store;
  readonly coordinator: Coordinator;
}

/**
 * Opens the chosen store and its coordinator. The only place that knows all of them. Loads the one
 * that is chosen: the database and the client of Redis are large.
 *
 * @param log Logs what the operator should know about the store.
 */
export async function openStore(
  options: StoreOptions,
  retention: StreamRetention,
  log: OperatorLog = () => {},
): Promise<OpenedStore> {
  switch (options.kind) {
    case "file_based": {
      const { openLmdbStore } = await import("../stores/lmdb/lmdb-store.ts");
      const { folder, queue, beginNewEpochs } = options;
      const store = await openLmdbStore({ ...retention, folder, queue, beginNewEpochs });
      return { store, coordinator: localCoordinator({ serviceState: store.serviceState }) };
    }
    case "in_memory":
      return { store: memoryStore(retention), coordinator: localCoordinator() };
    case "redis": {
      const { openRedis } = await import("./open-redis.ts");
      return openRedis(options, retention, log);
    }
  }
}
