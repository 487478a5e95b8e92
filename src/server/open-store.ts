import type { History, Store } from "../core/store.ts";
import { openLmdbStore } from "../stores/lmdb/lmdb-store.ts";
import { memoryStore } from "../stores/memory/memory-store.ts";

/** Which store holds the data. */
export type StoreOptions =
  | {
      /** One process, on disk: durable before acknowledged. */
      readonly kind: "file_based";
      /** Folder of the data; created when missing. */
      readonly folder: string;
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
      return openLmdbStore({ folder: options.folder, history });
    case "in_memory":
      return memoryStore({ history });
  }
}
