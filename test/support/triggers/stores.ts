import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServerOptions } from "millrace/server";
import { onTestFinished } from "vitest";
import { randomPrefix } from "../redis/redis-stores.ts";
import { sharedRedis } from "../redis/shared-redis.ts";

/** The store of a service under test: the same data each time it is opened. */
export type StoreOptions = NonNullable<ServerOptions["store"]>;

/** A kind of store, for suites that run on each. */
export interface TriggerStore {
  readonly name: "memory" | "disk" | "redis";
  /** Whether the data survives the service. */
  readonly survives: boolean;
  /** Options of a new, empty store. Its data goes after the test. */
  open(): Promise<StoreOptions>;
}

export const MEMORY: TriggerStore = {
  name: "memory",
  survives: false,
  open: async () => ({ kind: "in_memory" }),
};

export const DISK: TriggerStore = {
  name: "disk",
  survives: true,
  async open() {
    const folder = await mkdtemp(join(tmpdir(), "millrace-durable-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    return { kind: "file_based", folder };
  },
};

export const REDIS: TriggerStore = {
  name: "redis",
  survives: true,
  async open() {
    const { url } = await sharedRedis();
    return { kind: "redis", url, keyPrefix: randomPrefix() };
  },
};
