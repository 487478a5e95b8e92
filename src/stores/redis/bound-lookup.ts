import type { RedisServers } from "../../redis/redis-servers.ts";
import { textOf } from "./encoding.ts";
import type { RedisKeys } from "./keys.ts";
import { BOUND_TO } from "./scripts.ts";

/** Connections whose items one script looks up: it takes well under a millisecond. */
const MAX_PER_SCRIPT = 64;

/** A lookup that waits for its script. */
interface Lookup {
  /** Bounds of the first and of the last item. */
  readonly from: string;
  readonly to: string;
  readonly limit: number;
  resolve(members: readonly string[]): void;
  reject(error: unknown): void;
}

/**
 * Looks up the items that are bound to connections. The connections of a process that was killed end
 * together, each with items in any partition: lookups of the same moment share one script per
 * partition.
 */
export class BoundLookup {
  readonly #servers: RedisServers;
  readonly #keys: RedisKeys;
  readonly #waiting = new Map<number, Lookup[]>();

  constructor(servers: RedisServers, keys: RedisKeys) {
    this.#servers = servers;
    this.#keys = keys;
  }

  /** Members of the index of a partition, of one connection. */
  find(
    partition: number,
    { from, to, limit }: Pick<Lookup, "from" | "to" | "limit">,
  ): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      const lookup = { from, to, limit, resolve, reject };
      const waiting = this.#waiting.get(partition);
      if (waiting !== undefined) return void waiting.push(lookup);
      this.#waiting.set(partition, [lookup]);
      setImmediate(() => this.#run(partition));
    });
  }

  #run(partition: number): void {
    const waiting = this.#waiting.get(partition) ?? [];
    this.#waiting.delete(partition);
    for (let i = 0; i < waiting.length; i += MAX_PER_SCRIPT)
      void this.#look(partition, waiting.slice(i, i + MAX_PER_SCRIPT));
  }

  async #look(partition: number, lookups: readonly Lookup[]): Promise<void> {
    const { tag, bound } = this.#keys.ofPartition(partition);
    const limit = lookups.reduce((most, each) => Math.max(most, each.limit), 0);
    const args = [String(limit), ...lookups.flatMap(({ from, to }) => [from, to])];
    try {
      const reply = (await this.#servers.run(tag, BOUND_TO, [bound], args, "read")) as unknown[][];
      for (const [i, lookup] of lookups.entries())
        lookup.resolve((reply[i] ?? []).slice(0, lookup.limit).map(textOf));
    } catch (error) {
      for (const lookup of lookups) lookup.reject(error);
    }
  }
}
