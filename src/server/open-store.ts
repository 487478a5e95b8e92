import type { History, Store } from "../core/store.ts";
import type { QueueLimits } from "../stores/lmdb/commit-queue.ts";
import { openLmdbStore } from "../stores/lmdb/lmdb-store.ts";
import { memoryStore } from "../stores/memory/memory-store.ts";

/** Which store holds the data. */
export type StoreOptions =
  | {
      /** One process, on disk: durable before acknowledged. */
      readonly kind: "file_based";
      /** Folder of the data; created when missing. */
      readonly folder: string;
      /** Bounds of the writes that wait for the disk; what is absent has its default. */
      readonly queue?: Partial<Pick<QueueLimits, "maxWaiting" | "maxWaitingBytes">> | undefined;
    }
  | {
      /** One process, in memory: gone with it. */
      readonly kind: "in_memory";
    };

/** Where data is kept unless told otherwise. */
export const DEFAULT_FOLDER = "./data";

/** Opens the store named. The only place that knows all of them. */
export async function openStore(
  options: StoreOptions,
  history: Partial<History> = {},
): Promise<Store> {
  switch (options.kind) {
    case "file_based":
      return openLmdbStore({ folder: options.folder, history, queue: options.queue });
    case "in_memory":
      return memoryStore({ history });
  }
}
