import { localCoordinator } from "../coordinators/local/local-coordinator.ts";
import type { Coordinator } from "../core/coordinator.ts";
import type { History, Store } from "../core/store.ts";
import type { QueueLimits } from "../stores/lmdb/commit-queue.ts";
import { openLmdbStore } from "../stores/lmdb/lmdb-store.ts";
import { memoryStore } from "../stores/memory/memory-store.ts";
import { type RedisStoreOptions, type Teller, openRedis } from "./open-redis.ts";

/** Which store holds the data. */
export type StoreOptions =
  | {
      /** One process, on disk: durable before acknowledged. */
      readonly kind: "file_based";
      /** Folder of the data; created when missing. */
      readonly folder: string;
      /**
       * Begins a new epoch in every group, as is needed after a whole disk was put back to a snapshot:
       * the service knows all other copies by itself. Default false.
       */
      readonly beginNewEpochs?: boolean | undefined;
      /** Bounds of the writes that wait for the disk; what is absent has its default. */
      readonly queue?: Partial<Pick<QueueLimits, "maxWaiting" | "maxWaitingBytes">> | undefined;
    }
  | {
      /** One process, in memory: gone with it. */
      readonly kind: "in_memory";
    }
  | RedisStoreOptions;

/** The default data folder. */
export const DEFAULT_FOLDER = "./data";

/** A store, and what coordinates the processes that have it. */
export interface OpenedStore {
  readonly store: Store;
  readonly coordinator: Coordinator;
}

/**
 * Opens the store named, and its coordinator. The only place that knows all of them.
 *
 * @param tell Told what the operator should know about it.
 */
export async function openStore(
  options: StoreOptions,
  history: Partial<History> = {},
  tell: Teller = () => {},
): Promise<OpenedStore> {
  switch (options.kind) {
    case "file_based": {
      const { folder, queue, beginNewEpochs } = options;
      const store = await openLmdbStore({ folder, history, queue, beginNewEpochs });
      return { store, coordinator: localCoordinator({ records: store.records }) };
    }
    case "in_memory":
      return { store: memoryStore({ history }), coordinator: localCoordinator() };
    case "redis":
      return openRedis(options, history, tell);
  }
}
