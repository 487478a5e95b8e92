import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryStore } from "millrace";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import type { History, Store } from "../../../src/core/store.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { openStoreAt, randomPrefix } from "../redis/redis-stores.ts";
import { sharedRedis } from "../redis/shared-redis.ts";
import type { DoorTarget } from "./door.ts";
import { type ObservedStore, observeStore } from "./observed-store.ts";

/** The store of a server under test. */
export type StoreKind = "memory" | "file" | "redis";

/** Options of a server under test. */
export interface TestServerOptions extends Omit<ServerOptions, "store" | "port"> {
  readonly history?: Partial<History>;
}

/** A server under test, on a free port. */
export interface TestServer extends DoorTarget {
  readonly server: Server;
  readonly port: number;
  readonly store: ObservedStore;
  /** Stops it and removes its data. */
  close(): Promise<void>;
}

/** Starts a server. */
export async function startServer(
  kind: StoreKind = "memory",
  { history, ...options }: TestServerOptions = {},
): Promise<TestServer> {
  const { inner, cleanUp } = await openStore(kind, history);
  const store = observeStore(inner);
  const server = await createServer({ ...options, store, port: 0 });
  return {
    server,
    url: server.url,
    port: server.port,
    service: server.service,
    store,
    async close() {
      await server.close();
      await cleanUp();
    },
  };
}

async function openStore(
  kind: StoreKind,
  history: Partial<History> | undefined,
): Promise<{ inner: Store; cleanUp: () => Promise<void> }> {
  if (kind === "memory") return { inner: memoryStore({ history }), cleanUp: async () => {} };
  if (kind === "redis") {
    const { url } = await sharedRedis();
    const { store } = await openStoreAt(url, { history, keyPrefix: randomPrefix() });
    return { inner: store, cleanUp: async () => {} };
  }
  const folder = await mkdtemp(join(tmpdir(), "millrace-doors-"));
  const inner = await openLmdbStore({ folder, history });
  return { inner, cleanUp: () => rm(folder, { recursive: true, force: true }) };
}
