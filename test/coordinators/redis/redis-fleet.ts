import { randomUUID } from "node:crypto";
import { afterEach } from "vitest";
import {
  type RedisCoordinator,
  type RedisCoordinatorOptions,
  createRedisCoordinator,
} from "../../../src/coordinators/redis/redis-coordinator.ts";
import { RedisServers } from "../../../src/redis/redis-servers.ts";
import { parseRedisUrl } from "../../../src/redis/redis-url.ts";
import type { Registry } from "../../../src/core/coordinator.ts";
import type { RedisProcess } from "../../support/redis/redis-server.ts";
import { until } from "../suite/fleet.ts";

/** A simulated process of a fleet. */
export interface FleetProcess extends RedisCoordinator {
  readonly servers: RedisServers;
  /** Ends it like a crash. */
  kill(): void;
  /** Holds back the scripts of these names until the returned function is called. */
  holdBack(...scripts: string[]): () => void;
  /** Holds back the replies to the scripts of these names until the returned function is called. */
  holdRepliesBack(...scripts: string[]): () => void;
}

/** Options of a process of a fleet. */
export interface ProcessOptions extends Partial<
  Omit<RedisCoordinatorOptions, "servers" | "keyPrefix">
> {
  readonly timeoutMs?: number;
}

/** Creates fleets over one Redis, and disposes of them after each test. */
export function redisFleets(redis: () => RedisProcess) {
  let open: FleetProcess[] = [];
  afterEach(async () => {
    const used = open;
    open = [];
    await Promise.all(used.map((process) => process.close()));
    for (const { servers } of used) servers.close();
  });
  return (defaults: ProcessOptions = {}) => {
    const keyPrefix = randomUUID();
    return {
      keyPrefix,
      /** The prefix of all keys of the fleet. */
      tag: `{${keyPrefix}:fleet}`,
      async join(own: ProcessOptions = {}): Promise<FleetProcess> {
        const { timeoutMs, ...options } = { ...defaults, ...own };
        const servers = new RedisServers({ target: parseRedisUrl(redis().url), timeoutMs });
        servers.start();
        const holds = heldBack(servers);
        const coordinator = await createRedisCoordinator({ servers, keyPrefix, ...options });
        const kill = () => servers.close();
        const process = { ...coordinator, ...holds, servers, kill };
        open.push(process);
        return process;
      },
    };
  };
}

/** Lets a test delay the scripts that a process runs. */
function heldBack(servers: RedisServers) {
  const calls = new Map<string, Promise<void>>();
  const replies = new Map<string, Promise<void>>();
  const run = servers.run.bind(servers);
  servers.run = async (tag, script, ...rest) => {
    await calls.get(script.name);
    const reply = await run(tag, script, ...rest);
    await replies.get(script.name);
    return reply;
  };
  const hold = (gates: Map<string, Promise<void>>, scripts: readonly string[]) => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    for (const script of scripts) gates.set(script, gate);
    return () => {
      for (const script of scripts) gates.delete(script);
      open();
    };
  };
  return {
    holdBack: (...scripts: string[]) => hold(calls, scripts),
    holdRepliesBack: (...scripts: string[]) => hold(replies, scripts),
  };
}

/** Resolves when the lease of a process has ended in its own view. */
export async function untilLapsed({ registry }: { readonly registry: Registry }): Promise<void> {
  await until(registry, () => !registry.isCurrent());
}
