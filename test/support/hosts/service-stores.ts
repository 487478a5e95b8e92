import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { StoreOptions } from "../../../src/server/open-store.ts";
import { randomPrefix } from "../redis/redis-stores.ts";
import { sharedRedis } from "../redis/shared-redis.ts";

/** A kind of store, for suites that run on each. */
export interface ServiceStore {
  readonly name: "memory" | "disk" | "redis";
  /** Whether the data survives the service. */
  readonly survives: boolean;
  /**
   * Options of a new, empty store: each service that is opened with them has the same data. It is
   * removed after the test.
   */
  open(options?: FleetOptions): Promise<StoreOptions>;
}

/** Options of a store that a fleet shares; the others ignore them. */
interface FleetOptions {
  /** How long a member may be out of touch, in milliseconds. */
  readonly registryTimeoutMs?: number;
}

export const MEMORY: ServiceStore = {
  name: "memory",
  survives: false,
  open: async () => ({ kind: "in_memory" }),
};

export const DISK: ServiceStore = {
  name: "disk",
  survives: true,
  async open() {
    const folder = await mkdtemp(join(tmpdir(), "millrace-store-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    return { kind: "file_based", folder };
  },
};

export const REDIS: ServiceStore = {
  name: "redis",
  survives: true,
  async open(options) {
    const { url } = await sharedRedis();
    return { kind: "redis", url, keyPrefix: randomPrefix(), ...options };
  },
};
